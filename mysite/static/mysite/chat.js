/* The demo's page: the socket in django-socketio's way, and around it a list and a form. */
(function () {
  "use strict";

  const ROOM = "room-1";
  const KEPT = 200; // Messages that stay on the page.

  const [status, offline, messages, form, nameField, textField, send] = [
    "status", "offline", "messages", "compose", "name", "text", "send",
  ].map((id) => document.getElementById(id));

  /* ---- The socket ---------------------------------------------------------------------------- */

  const socket = new io.Socket();
  socket.connect();

  socket.on("connect", () => {
    socket.subscribe(ROOM);
    showState("online");
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
    }
    textField.focus();
  });

  /* ---- What the page shows ------------------------------------------------------------------- */

  function showState(state) {
    keepAtEnd(() => {
      status.dataset.state = state;
      status.textContent = status.dataset[state];
      offline.hidden = state !== "offline";
      send.disabled = state !== "online";
    });
  }

  function show(message) {
    if (!message || typeof message !== "object") {
      return; // Not from a page like this one: whoever is in the room may send anything.
    }
    keepAtEnd(() => {
      messages.append(message.action === "system-info" ? systemLine(message) : bubble(message));
      while (messages.children.length > KEPT) {
        messages.firstChild.remove();
      }
    });
  }

  /** Change the page; whoever was reading the last message then, still is. */
  function keepAtEnd(change) {
    const atEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 40;
    change();
    if (atEnd) {
      messages.scrollTop = messages.scrollHeight;
    }
  }

  function systemLine({ message }) {
    return element("li", "system", asText(message));
  }

  function bubble(message) {
    const name = asText(message.name);
    const item = element("li", message.from === socket.id ? "mine" : "theirs");
    const avatar = element("span", "avatar", Array.from(name)[0]);
    avatar.style.setProperty("--hue", hue(name));
    avatar.setAttribute("aria-hidden", "true");
    const head = element("p", "head");
    const time = new Date().toLocaleTimeString(document.documentElement.lang, {
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
    head.append(element("b", "", name), " ", element("time", "", time));
    const body = element("div", "bubble");
    body.append(head, element("p", "said", asText(message.text)));
    item.append(avatar, body);
    return item;
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
