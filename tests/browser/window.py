"""Browser windows as the tests see them: what a page shows, and what it sends over the wire."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
    Response,
    WebSocket,
)
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from tests.support.tools import PATIENCE

MILLISECONDS = 1000

ADVICE = "django-socketio: "
"""How all begins that the shim says in the console."""

TransportName = Literal["polling", "websocket"]


class Traffic:
    """What a page sends to Socket.IO, and gets from it, by transport.

    :param page: a page that has not loaded anything yet.
    """

    def __init__(self, page: Page) -> None:
        self.sent: list[tuple[TransportName, str]] = []
        """What went out: bodies of POSTs, frames."""
        self.websockets = 0
        """How many WebSockets were opened, or tried to be."""
        self.polls = 0
        """How many requests went out over polling, those with a body not counted."""
        self._frames: list[str] = []
        self._responses: list[Response] = []
        page.on("request", self._on_request)
        page.on("response", self._on_response)
        page.on("websocket", self._on_websocket)

    def carriers(self, text: str) -> set[TransportName]:
        """Return over what a text went out."""
        return {transport for transport, sent in self.sent if text in sent}

    def deliverers(self, text: str) -> set[TransportName]:
        """Return over what a text came in."""
        deliverers: set[TransportName] = set()
        if any(text in frame for frame in self._frames):
            deliverers.add("websocket")
        if any(text in response.text() for response in self._responses):
            deliverers.add("polling")
        return deliverers

    @property
    def upgraded(self) -> bool:
        """Whether the page has gone from polling to WebSocket."""
        return ("websocket", "5") in self.sent

    def _on_request(self, request: Request) -> None:
        if "transport=polling" not in request.url:
            return
        if request.method == "POST":
            self.sent.append(("polling", request.post_data or ""))
        else:
            self.polls += 1

    def _on_response(self, response: Response) -> None:
        if "transport=polling" in response.url and response.request.method == "GET":
            self._responses.append(response)

    def _on_websocket(self, websocket: WebSocket) -> None:
        self.websockets += 1
        websocket.on("framesent", lambda data: self.sent.append(("websocket", str(data))))
        websocket.on("framereceived", lambda data: self._frames.append(str(data)))


class Window:
    """A browser window with nothing in common with the others: own cookies, own storage.

    :param name: how the server knows it, as its user agent.
    """

    def __init__(self, context: BrowserContext, name: str) -> None:
        self.context = context
        self.name = name
        self.page = context.new_page()
        self.traffic = Traffic(self.page)
        self.crashes: list[Error] = []
        """What the page's scripts raised and nobody caught."""
        self.complaints: list[str] = []
        """The errors in the browser's console."""
        self.advice: list[str] = []
        """What the shim said in the console."""
        self.page.on("pageerror", lambda error: self.crashes.append(error))
        self.page.on("console", self._on_console)

    def run(self, script: str) -> None:
        """Run a script in the page, as if it stood there: its variables are global."""
        # The first semicolon: Playwright would take what begins with a function for one to call.
        self.page.evaluate(f"; {script}\n; undefined")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page; of a promise, what it comes to."""
        return self.page.evaluate(f"() => ({expression})")

    def got(self, count: int) -> list[Any]:
        """Wait until the page has put so many things into its list ``got``, and return them."""
        try:
            self.page.wait_for_function("count => got.length >= count", arg=count)
        except PlaywrightTimeoutError:
            raise AssertionError(f"waited for {count}, got {self.evaluate('got')}") from None
        found: list[Any] = self.evaluate("got")
        return found

    def settle(self, socket: str = "socket") -> None:
        """Wait until the server has handled all that one of the page's sockets has sent."""
        assert self.evaluate(f"{socket}.emitWithAck('settle')") == "settled"

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is true that is not to be seen in the page."""
        for _ in range(int(PATIENCE * MILLISECONDS / 10)):
            if condition():
                return
            self.page.wait_for_timeout(10)  # in which Playwright's events come in
        raise AssertionError(f"waited in vain for {what}")

    def wait_for_upgrade(self) -> None:
        """Wait until the page has gone over to WebSocket."""
        self.wait_until(lambda: self.traffic.upgraded, "the upgrade")

    def close(self) -> None:
        """Close the window. Idempotent."""
        self.context.close()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)
        elif message.text.startswith(ADVICE):
            self.advice.append(message.text.removeprefix(ADVICE))


class DemoWindow(Window):
    """A window with the demo in English."""

    @property
    def said(self) -> Locator:
        """What people said, one element each."""
        return self.page.locator("#messages .said")

    @property
    def system_info(self) -> Locator:
        """What the server's handlers told, one element each."""
        return self.page.locator("#messages .system")

    @property
    def speakers(self) -> Locator:
        """The names that stand over what others said, one element for each group of messages."""
        return self.page.locator("#messages .theirs b")

    @property
    def log(self) -> Locator:
        """What is scrolled: all that was said."""
        return self.page.get_by_role("log")

    @property
    def news(self) -> Locator:
        """What leads a reader of older messages to new ones."""
        return self.page.get_by_role("button", name="New messages")

    @property
    def state(self) -> Locator:
        """The connection indicator."""
        return self.page.get_by_role("status")

    @property
    def alert(self) -> Locator:
        """What tells that the connection is lost."""
        return self.page.get_by_role("alert")

    @property
    def text_field(self) -> Locator:
        """Where one types a message."""
        return self.page.get_by_label("Your message")

    @property
    def name_field(self) -> Locator:
        """Where one types one's name."""
        return self.page.get_by_label("Your name")

    @property
    def send_button(self) -> Locator:
        """What sends the message."""
        return self.page.get_by_role("button", name="Send")

    @property
    def scrolling_sideways(self) -> list[str]:
        """What is wider inside than outside, each by its tag's name; should be empty."""
        found: list[str] = self.evaluate("""
            Array.from(document.querySelectorAll("html, body, main, #messages"))
              .filter((element) => element.scrollWidth > element.clientWidth)
              .map((element) => element.tagName)
        """)
        return found

    def scroll_up(self) -> None:
        """Scroll up as a reader does, and wait until the page has noticed."""
        self.log.hover()
        self.page.mouse.wheel(0, -400)
        self.page.wait_for_function("""() => {
          const { scrollTop, scrollHeight, clientHeight } = document.getElementById("messages");
          return scrollHeight - scrollTop - clientHeight > 300;
        }""")
        # The scroll event comes before the next frame.
        self.evaluate("new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))")

    def say(self, text: str) -> None:
        """Type a message and send it."""
        self.text_field.fill(text)
        self.send_button.click()


class OpenWindow(Protocol):
    """Opens a window; ``options`` are those of Playwright's ``new_context``.

    :param url: what to show in it; without one, nothing yet.
    """

    def __call__(self, url: str | None = None, **options: Any) -> Window: ...


class OpenDemo(Protocol):
    """Opens a window with the demo, by default the one that all tests share.

    :param wait: whether to wait until it is online.
    """

    def __call__(
        self, url: str | None = None, *, wait: bool = True, **options: Any
    ) -> DemoWindow: ...
