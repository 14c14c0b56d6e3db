/* The demo's page: the socket in django-socketio's way, and around it a list and a form. */
(function () {
  "use strict";

  const ROOM = "room-1";
  const KEPT = 200; // Messages that stay on the page,
  const KEPT_FOR_READERS = 2000; // and while somebody reads older ones: these would move.
  const TOGETHER = 5 * 60 * 1000; // Milliseconds: what one person says within, stands together.

  const [status, offline, messages, unread, form, nameField, textField, send] = [
    "status", "offline", "messages", "unread", "compose", "name", "text", "send",
  ].map((id) => document.getElementById(id));
  const list = messages.querySelector("ol");

  /* ---- The socket ---------------------------------------------------------------------------- */

  const socket = new io.Socket();
  socket.connect();

  socket.on("connect", () => {
    socket.subscribe(ROOM);
    showState("online");
    beginGreeting();
  });
  socket.on("disconnect", () => showState("offline"));
  socket.on("connect_error", () => showState("offline"));
  socket.on("message", show);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = textField.value.trim();
    if (text && socket.connected) {
      const name = nameField.value.trim() || nameField.placeholder;
      socket.send({ action: "message", from: socket.id, name, text });
      textField.value = "";
      toEnd();
    }
    textField.focus();
  });

  /* ---- What the page shows ------------------------------------------------------------------- */

  function showState(state) {
    status.dataset.state = state;
    status.textContent = status.dataset[state];
    offline.hidden = state !== "offline";
    send.disabled = state !== "online";
  }

  function show(message) {
    if (!message || typeof message !== "object") {
      return; // Not from a page like this one: whoever is in the room may send anything.
    }
    if (message.action === "system-info") {
      showGreeting(asText(message.message));
    } else {
      greeting.isOver = true;
      add(bubble(message));
    }
  }

  /* Each connection begins with the same lines from the server: shown once, and not at each return. */

  let greeting = null; // {lines, known, isOver}; `known`: the lines of the connection before.

  function beginGreeting() {
    if (greeting) {
      showReturn();
    }
    greeting = { lines: [], known: greeting ? greeting.lines : [], isOver: false };
  }

  function showGreeting(text) {
    const isKnown = !greeting.isOver && greeting.known.includes(text);
    if (!greeting.isOver) {
      greeting.lines.push(text);
    }
    if (!isKnown) {
      add(element("li", "system", text));
    }
  }

  function showReturn() {
    const item = element("li", "system back", `${messages.dataset.back} · `);
    item.append(element("time", "", now()));
    if (list.lastChild && list.lastChild.matches(".back")) {
      list.lastChild.remove();
    }
    add(item);
  }

  let group = null; // {from, name, time, item}: who spoke last, since when, and the last message.

  function bubble(message) {
    const name = asText(message.name);
    const from = asText(message.from);
    const isMine = message.from === socket.id;
    const item = element("li", isMine ? "mine" : "theirs");
    const body = element("div", "body");
    const speaker = isMine ? element("span", "unseen", messages.dataset.you) : element("b", "", name);
    const follows =
      group &&
      group.item === list.lastChild &&
      group.from === from &&
      group.name === name &&
      Date.now() - group.time < TOGETHER;
    if (follows) {
      item.classList.add("follows");
      body.append(element("span", "unseen", speaker.textContent));
      group.item = item;
    } else {
      const head = element("p", "head");
      head.append(speaker, " ", element("time", "", now()));
      body.append(head);
      if (!isMine) {
        item.append(avatar(name));
      }
      group = { from, name, time: Date.now(), item };
    }
    body.append(element("p", "said", asText(message.text)));
    item.append(body);
    return item;
  }

  function avatar(name) {
    const made = element("span", "avatar", Array.from(name)[0]);
    made.style.setProperty("--hue", hue(name));
    made.setAttribute("aria-hidden", "true");
    return made;
  }

  function now() {
    return new Date().toLocaleTimeString(document.documentElement.lang, {
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
  }

  function asText(value = "") {
    return typeof value === "string" ? value : JSON.stringify(value);
  }

  /** Make an element; what people typed goes in as text, and never as HTML. */
  function element(tag, className, text = "") {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  }

  /** The same colour for the same name, in every window. */
  function hue(name) {
    return Array.from(name).reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  }

  /* ---- Where the reader is ------------------------------------------------------------------- */

  // At the end, whatever comes and however the window changes, until the reader scrolls up; there,
  // nothing moves, and a button tells of what is new.
  let isAtEnd = true;
  let lastTop = 0;

  function toEnd() {
    messages.scrollTop = messages.scrollHeight;
    isAtEnd = true;
    unread.hidden = true;
  }

  function add(item) {
    list.append(item);
    while (list.children.length > (isAtEnd ? KEPT : KEPT_FOR_READERS)) {
      list.firstChild.remove();
    }
    if (isAtEnd) {
      toEnd();
    } else {
      unread.hidden = false;
    }
  }

  messages.addEventListener("scroll", () => {
    const { scrollTop, scrollHeight, clientHeight } = messages;
    if (scrollHeight - scrollTop - clientHeight < 40) {
      isAtEnd = true;
      unread.hidden = true;
    } else if (scrollTop < lastTop) {
      isAtEnd = false;
    }
    lastTop = scrollTop;
  });

  unread.addEventListener("click", () => {
    messages.focus(); // The button goes, and would take the focus with it.
    toEnd();
  });

  const sizes = new ResizeObserver(() => isAtEnd && toEnd());
  sizes.observe(messages);
  sizes.observe(list);

  /* ---- The name is remembered ---------------------------------------------------------------- */

  // Browsers may refuse storage: then the name lasts as long as the page.
  function remembered(action) {
    try {
      return action(window.localStorage);
    } catch (error) {
      return null;
    }
  }

  nameField.value = remembered((storage) => storage.getItem("name")) || "";
  nameField.addEventListener("change", () => {
    remembered((storage) => storage.setItem("name", nameField.value.trim()));
  });
})();
