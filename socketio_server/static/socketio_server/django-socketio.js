/*
 * What pages need on top of the official Socket.IO client, which is loaded before this file:
 *
 * 1. where the server is: `io()` goes to the path, and the host or port, that the `{% socketio %}`
 *    tag wrote down, over the transports that it named;
 * 2. channels: `socket.subscribe(channel)` and `socket.unsubscribe(channel)`, which outlive a lost
 *    connection;
 * 3. sockets in django-socketio's way: `new io.Socket(host, options)` and then `.connect()`;
 * 4. a word in the console, while `DEBUG` is on, about what keeps a page from its server.
 *
 * On the wire a subscription is an ordinary event, `__subscribe__` or `__unsubscribe__` with the
 * channel's name, acknowledged with `true`, `false` or `{"error": ...}`. The server says with
 * `__unsubscribed__` (channel, reason) that it took the page off a channel, and with
 * `__disconnected__` (reason) why it is about to disconnect it.
 */
(function () {
  "use strict";

  const official = window.io;
  if (!official) {
    throw new Error("django-socketio.js goes after socket.io.min.js: use {% socketio %} for both");
  }

  // The tag's `data-` attributes: so a page needs no inline script. `url` is there only where the
  // project's settings name one, `port` only where another server than ours served the page and they
  // don't, `transports` only where ours does not speak all, `debug` only while `DEBUG` is on.
  const settings = document.currentScript ? document.currentScript.dataset : {};
  const serverUrl = settings.url;
  const serverPort = settings.port;
  const defaults = { path: settings.path };
  if (settings.transports) {
    defaults.transports = settings.transports.split(" ");
  }

  /* ---- Channels ------------------------------------------------------------------------------ */

  /**
   * The channels that a page has subscribed to with one socket, over all of its connections.
   *
   * A new connection starts without any, so they are asked for again before anything else goes out
   * (what the page sent while it was offline may need them), and once: a page that subscribes in its
   * `connect` handler, as it had to with django-socketio, asks for what is under way already.
   */
  class Channels {
    constructor(socket) {
      this.socket = socket;
      // channel -> {queued, asked, left, acks}. `queued`: the official client holds the request back
      // and sends it in its turn. `asked`: the server has not answered yet. `left`: the page
      // unsubscribed while it was offline. `acks`: the page's callbacks that wait for the answer.
      this.entries = new Map();
      this.restored = socket.connected; // For this connection; false while there is none.
      this.opening = false; // True while the `connect` handlers run.
      socket.on("connect", () => this.restore());
      socket.on("disconnect", () => {
        this.restored = false;
      });
      // What was queued goes out before `connect` fires; this is called just before the first of it.
      socket.onAnyOutgoing(() => this.restore());
      socket.on("__unsubscribed__", (channel, reason) => this.forget(channel, reason));
      socket.on("__disconnected__", (reason) => reasons.set(socket, reason));
      if (speaks) {
        socket.on("connect_error", (error) => explain(socket, error));
        socket.onAny((name) => tellUnheard(socket, name));
      }
    }

    subscribe(channel, ack) {
      this.restore();
      const known = this.entries.get(channel);
      if (known && (this.opening || !this.socket.connected)) {
        known.left = false;
        known.acks.push(...callbacks(ack));
      } else {
        const queued = !this.socket.connected;
        const entry = { queued, asked: false, left: false, acks: callbacks(ack) };
        this.entries.set(channel, entry);
        this.request(channel, entry);
      }
    }

    unsubscribe(channel, ack) {
      this.restore();
      const known = this.entries.get(channel);
      if (known && !known.queued && !this.socket.connected) {
        known.left = true; // The server dropped it when it lost us: there is nothing to send.
        known.acks.push(...callbacks(ack));
      } else {
        this.entries.delete(channel);
        this.socket.emit("__unsubscribe__", channel, ...callbacks(ack));
      }
    }

    /** Bring a new connection to where the last one was. */
    restore() {
      if (this.restored || !this.socket.connected) {
        return;
      }
      this.restored = true;
      this.opening = true;
      Promise.resolve().then(() => {
        this.opening = false;
      });
      Array.from(this.entries).forEach(([channel, entry]) => this.restoreOne(channel, entry));
    }

    restoreOne(channel, entry) {
      const { recovered } = this.socket; // The server kept our channels for us.
      if (entry.left) {
        this.entries.delete(channel);
        if (recovered) {
          this.socket.emit("__unsubscribe__", channel, (...answer) => settle(entry, answer));
        } else {
          settle(entry, [false]);
        }
      } else if (entry.queued) {
        entry.queued = false;
      } else if (recovered) {
        settle(entry, [false]);
      } else {
        this.request(channel, entry);
      }
    }

    request(channel, entry) {
      entry.asked = true;
      this.socket.emit("__subscribe__", channel, (...answer) => {
        entry.asked = false;
        const result = answer[answer.length - 1]; // After an error argument, with `ackTimeout`.
        if (result && result.error) {
          say("subscription", { channel, reason: result.error });
          if (this.entries.get(channel) === entry) {
            this.entries.delete(channel);
          }
        }
        settle(entry, answer);
      });
    }

    /** Take note that the server took us off a channel. */
    forget(channel, reason) {
      const known = this.entries.get(channel);
      // Answers and this come in the order in which the server did things: where it has not
      // answered a request yet, that request puts us on the channel again.
      if (known && !known.asked) {
        this.entries.delete(channel);
      }
      this.socket.fire("unsubscribed", [channel, reason]);
    }
  }

  function callbacks(ack) {
    return ack ? [ack] : [];
  }

  function settle(entry, answer) {
    entry.acks.splice(0).forEach((ack) => ack(...answer));
  }

  const channelsBySocket = new WeakMap();

  function channelsOf(socket) {
    if (!channelsBySocket.has(socket)) {
      channelsBySocket.set(socket, new Channels(socket));
    }
    return channelsBySocket.get(socket);
  }

  // socket -> why the server is about to disconnect it.
  const reasons = new WeakMap();
  const onclose = official.Socket.prototype.onclose;

  // All but the first two are the API of django-socketio's client, whose `emit` called the page's
  // own handlers (it is `fire` now), and whose `removeEvent` left all in place without a handler.
  Object.assign(official.Socket.prototype, {
    subscribe(channel, ack) {
      channelsOf(this).subscribe(String(channel), ack);
      return this;
    },
    unsubscribe(channel, ack) {
      channelsOf(this).unsubscribe(String(channel), ack);
      return this;
    },
    addEvent(name, handler) {
      return this.on(name, handler);
    },
    addListener(name, handler) {
      return this.on(name, handler);
    },
    removeEvent(name, handler) {
      return handler ? this.off(name, handler) : this;
    },
    fire(name, args) {
      this.listeners(name)
        .slice()
        .forEach((handler) => handler.apply(this, args || []));
      return this;
    },
    getTransport() {
      return this.transport;
    },
    /** Let `disconnect` handlers have the server's reason where the client has its own details. */
    onclose(cause, details) {
      const reason = reasons.get(this);
      reasons.delete(this);
      onclose.call(this, cause, reason === undefined ? details : { description: reason });
    },
  });

  Object.defineProperties(official.Socket.prototype, {
    connecting: {
      configurable: true,
      get() {
        return this.active && !this.connected;
      },
    },
    transport: {
      configurable: true,
      get() {
        const { engine, opts } = this.io;
        const [first] = opts.transports || [POLLING];
        const name = engine ? engine.transport.name : first;
        return {
          type: name === POLLING ? "xhr-polling" : name,
          connected: this.connected,
          connecting: this.connecting,
          sessionid: this.id,
        };
      },
    },
  });

  /* ---- io(), io.connect(), new io.connect() -------------------------------------------------- */

  function connect(uri, options) {
    if (uri && typeof uri === "object") {
      options = uri;
      uri = undefined;
    }
    const socket = official(onOurServer(uri), Object.assign({}, defaults, options));
    channelsOf(socket); // Now, so that it hears of a connection before the page does.
    return socket;
  }

  /** Put our server before a namespace ("/chat") or nothing; leave an address as it is. */
  function onOurServer(uri) {
    const isAddress = uri && !/^\/(?!\/)/.test(uri);
    return isAddress || !(serverUrl || serverPort) ? uri : serverAddress() + (uri || "");
  }

  /** Return where the server is: by what the page names, or else by the tag's attributes. */
  function serverAddress(host, port, secure) {
    if (serverUrl && !host && !port) {
      return serverUrl;
    }
    const protocol = secure ? "https:" : window.location.protocol;
    const number = port || serverPort || window.location.port;
    return `${protocol}//${host || window.location.hostname}${number ? `:${number}` : ""}`;
  }

  /* ---- new io.Socket(host, options), in django-socketio's way --------------------------------- */

  const POLLING = "polling";
  const TRANSPORTS = {
    websocket: "websocket",
    flashsocket: POLLING,
    htmlfile: POLLING,
    "xhr-multipart": POLLING,
    "xhr-polling": POLLING,
    "jsonp-polling": POLLING,
  };

  function Socket(host, options) {
    if (host instanceof official.Manager) {
      return Reflect.construct(official.Socket, arguments, new.target || official.Socket);
    }
    options = options || {};
    const address = serverAddress(host, options.port, options.secure);
    replaceLost(address);
    const socket = connect(address, currentOptions(options));
    const { hostname, port } = new URL(address);
    socket.host = hostname;
    socket.options = Object.assign(oldDefaults(port), options);
    tellOfAttempts(socket);
    rememberLosses(socket, address);
    return socket;
  }
  Socket.prototype = official.Socket.prototype; // For `instanceof`.

  /** What pages may read in `socket.options`; what they write there has no effect. */
  function oldDefaults(port) {
    return {
      secure: false,
      document: window.document,
      port,
      resource: "socket.io",
      transports: Object.keys(TRANSPORTS),
      transportOptions: {},
      connectTimeout: 5000,
      tryTransportsOnConnectTimeout: true,
      rememberTransport: true,
    };
  }

  /** Say in the official client's words what django-socketio's options said; keep all others. */
  function currentOptions(options) {
    const current = Object.assign({}, options, { autoConnect: false, forceNew: true });
    ["port", "secure", "resource", "connectTimeout", "document"].forEach(
      (name) => delete current[name],
    );
    if (options.resource) {
      current.path = `/${options.resource.replace(/^\/+|\/+$/g, "")}/`;
    }
    if (options.transports) {
      current.transports = Array.from(
        new Set(options.transports.map((name) => TRANSPORTS[name] || name)),
      );
      current.tryAllTransports = options.tryTransportsOnConnectTimeout !== false;
    }
    if (options.connectTimeout) {
      current.timeout = options.connectTimeout;
    }
    return current;
  }

  /** Fire `connecting` and `connect_failed`, each at most once per call of `connect()`. */
  function tellOfAttempts(socket) {
    let awaited = false;
    let isUsed = false;
    socket.connect = () => {
      isUsed = true;
      if (!socket.connected) {
        awaited = true;
        socket.fire("connecting", [socket.transport.type]);
      }
      return connectLater.call(socket);
    };
    socket.on("connect", () => {
      awaited = false;
    });
    socket.on("connect_error", () => {
      if (awaited) {
        awaited = false;
        socket.fire("connect_failed");
      }
    });
    if (speaks) {
      setTimeout(() => {
        if (!isUsed) {
          say("unconnected");
        }
      }, CONNECTED_WITHIN);
    }
  }

  /**
   * `connect()` for pages that call it in their `disconnect` handler, as they had to.
   *
   * The official client comes back by itself, and begins with that right after those handlers; a
   * `connect()` before would get in its way for good. After that it sees what is going on.
   */
  function connectLater() {
    const connectNow = official.Socket.prototype.connect;
    if (!this.active) {
      return connectNow.call(this);
    }
    Promise.resolve().then(() => this.active && connectNow.call(this));
    return this;
  }

  /*
   * Pages may also answer a lost connection with another `new io.Socket()`, at once or after some
   * seconds, since nothing came back by itself then. The lost socket would come back as well now, and
   * every message arrive twice: so the new socket takes the place of the one lost longest ago.
   */
  const REPLACED_WITHIN = 10000; // Milliseconds: what pages wait before they try again, and some.
  let losses = []; // {socket, address, time}, the oldest first.

  function rememberLosses(socket, address) {
    const ours = socket.listeners("disconnect").length + 1;
    socket.on("disconnect", () => {
      losses = losses.filter((loss) => loss.socket !== socket);
      const pageListens = socket.listeners("disconnect").length > ours;
      if (socket.active && pageListens) {
        losses.push({ socket, address, time: Date.now() });
      }
    });
  }

  function replaceLost(address) {
    losses = losses.filter((loss) => Date.now() - loss.time < REPLACED_WITHIN);
    const replaced = losses.find((loss) => loss.address === address);
    if (replaced) {
      losses = losses.filter((loss) => loss !== replaced);
      replaced.socket.off(); // So that the page hears nothing of its end.
      replaced.socket.disconnect();
    }
  }

  /* ---- What went wrong, said in the console while DEBUG is on ---------------------------------- */

  const speaks = "debug" in settings;

  const CONNECTED_WITHIN = 5000; // Milliseconds: later than that, `connect()` was forgotten.

  // All that is ever said: cause, and remedy.
  const CAUSES = {
    nothing: ({ server }) =>
      `Nothing answers at ${server}. Is \`python manage.py runserver_socketio\` running there? ` +
      "SOCKETIO_PUBLIC_URL or SOCKETIO_PORT is where pages look for it that another server rendered.",
    unreadable: ({ server, origin }) =>
      `The server at ${server} does not let this page read its answers. If it is ` +
      `runserver_socketio, it refuses pages of other origins: add "${origin}" to ` +
      `SOCKETIO_ALLOWED_ORIGINS, or open the page at ${server}; where its host is missing in ` +
      "ALLOWED_HOSTS, its terminal says so. If it is another program, " +
      "set SOCKETIO_PUBLIC_URL, or SOCKETIO_PORT to the port of runserver_socketio.",
    origin: ({ server, origin }) =>
      `The server at ${server} refuses pages of ${origin}: add "${origin}" to ` +
      "SOCKETIO_ALLOWED_ORIGINS. Behind a proxy, let it pass on the Host header as it came.",
    version: ({ server, message }) =>
      `The server at ${server} does not speak this client's version of the protocol (${message}). ` +
      "Load the client with {% socketio %}; for pages with socket.io-client 2, set " +
      "SOCKETIO_ALLOW_EIO3 = True.",
    refusal: ({ server, status, message }) =>
      `The server at ${server} refuses the connection: ${message} (status ${status}). ` +
      "The terminal of runserver_socketio says more.",
    foreign: ({ url, status, type, start }) =>
      `What answers at ${url} is no Socket.IO server: status ${status}, ${type}` +
      `${start ? `, "${start}"` : ""}. Put \`path("", include("socketio_server.urls"))\` before ` +
      "URL patterns that match everything, and start the site with " +
      "`python manage.py runserver_socketio`; SOCKETIO_PORT is its port.",
    path: ({ url, path }) =>
      `There is no Socket.IO at ${url}: on this page's server its path is ${path}. Leave out the ` +
      "option `path`, or `resource`; {% socketio %} sets it.",
    policy: ({ server }) =>
      `This page's Content-Security-Policy forbids connections to ${server}: add ${server} and ` +
      `${server.replace(/^http/, "ws")} to its connect-src.`,
    websocket: ({ server }) =>
      `The server at ${server} answers, but no WebSocket can be opened to it. Does a proxy on the ` +
      "way leave out the Upgrade header, or SOCKETIO_TRANSPORTS leave out websocket? Clients that " +
      'may use "polling", too, connect all the same.',
    namespace: ({ namespace }) =>
      `The server has no namespace ${namespace}: nothing in any events.py names it. Write ` +
      `namespace="${namespace}" in its handlers' decorators, or correct the name in the page.`,
    connection: ({ namespace, reason }) =>
      `The server refused the connection to the namespace ${namespace} ("${reason}"). A handler of ` +
      "on_connect did; the terminal of runserver_socketio says more.",
    subscription: ({ channel, reason }) =>
      `The server refused the subscription to the channel "${channel}" ("${reason}"). A handler of ` +
      "authorize or on_subscribe did, or the name is not allowed.",
    unconnected: () =>
      "A socket of `new io.Socket()` waits for its `connect()`: call `socket.connect()` in the page.",
    unheard: ({ namespace, name }) =>
      `The server sent the event "${name}" in the namespace ${namespace}, and nothing in this page ` +
      `listens to it: write socket.on("${name}", …), or correct the name.`,
  };

  const said = new Set();

  function say(cause, details) {
    const text = CAUSES[cause](Object.assign({ origin: window.location.origin }, details));
    if (speaks && !said.has(text)) {
      said.add(text);
      console.warn(`django-socketio: ${text}`);
    }
  }

  // The hosts to which the page's Content-Security-Policy let nothing through.
  const forbidden = new Set();
  if (speaks) {
    document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
      if (effectiveDirective === "connect-src") {
        forbidden.add(new URL(blockedURI, window.location).host);
      }
    });
  }

  /** Say that an event has come for which the page has no handler. */
  function tellUnheard(socket, name) {
    const isHeard = socket.hasListeners(name) || socket.listenersAny().length > 1;
    if (!isHeard) {
      say("unheard", { namespace: socket.nsp, name });
    }
  }

  /** Say why a socket could not connect. */
  function explain(socket, error) {
    if (!socket.active) {
      const cause = error.message === "Invalid namespace" ? "namespace" : "connection";
      say(cause, { namespace: socket.nsp, reason: error.message });
      return;
    }
    const { uri, opts } = socket.io;
    const url = new URL(uri.replace(/^ws/, "http"), window.location);
    url.pathname = opts.path.replace(/\/*$/, "/");
    const xhr = error.context;
    if (xhr && xhr.status) {
      judge(url, xhr.status, xhr.getResponseHeader("Content-Type"), xhr.responseText);
    } else if (navigator.onLine && isTimeToAsk(url.href)) {
      ask(url, Boolean(xhr), error.message === "websocket error");
    }
  }

  // url -> how many attempts failed there without a word why.
  const failures = new Map();

  /** Return whether to ask what is there: after 1, 2, 4, 8… failures, as things may change. */
  function isTimeToAsk(href) {
    const count = (failures.get(href) || 0) + 1;
    failures.set(href, count);
    return Number.isInteger(Math.log2(count));
  }

  /**
   * Ask what is there, since browsers don't tell scripts why a request failed.
   *
   * Without a transport in the query, our server refuses the request, and opens no session.
   *
   * @param failedToRead  whether the page is known to be unable to read an answer.
   */
  function ask(url, failedToRead, overWebSocket) {
    const get = (mode) =>
      fetch(`${url.href}?EIO=4`, { mode, cache: "no-store", signal: AbortSignal.timeout(10000) });
    (failedToRead ? get("no-cors") : get("cors").catch(() => get("no-cors")))
      .then((answer) => {
        if (answer.type === "opaque") {
          say("unreadable", { server: url.origin });
          return undefined;
        }
        return answer.text().then((text) => {
          const isAsExpected = parsed(text).code === 0;
          if (!isAsExpected) {
            judge(url, answer.status, answer.headers.get("Content-Type"), text);
          } else if (overWebSocket) {
            say("websocket", { server: url.origin });
          }
        });
      })
      .catch(() => say(forbidden.has(url.host) ? "policy" : "nothing", { server: url.origin }));
  }

  /** Judge what the server answered, or what was taken for it. */
  function judge(url, status, contentType, text) {
    const details = { server: url.origin, url: url.href, status };
    const { code, message } = parsed(text);
    if (typeof code === "number" && typeof message === "string") {
      const cause = { 4: "origin", 5: "version" }[code] || "refusal";
      say(cause, Object.assign(details, { message }));
    } else if (url.pathname !== defaults.path && url.origin === originOfServer()) {
      say("path", Object.assign(details, { path: defaults.path }));
    } else if (text || (status !== 429 && status !== 503)) { // Those: our server, for the moment.
      const type = (contentType || "no content type").split(";")[0];
      const start = type === "text/plain" ? text.trim().slice(0, 100) : "";
      say("foreign", Object.assign(details, { type, start }));
    }
  }

  function originOfServer() {
    return new URL(serverAddress()).origin;
  }

  function parsed(text) {
    try {
      return JSON.parse(text) || {};
    } catch (error) {
      return {};
    }
  }

  window.io = Object.assign(connect, official, {
    Socket,
    connect,
    io: connect,
    setPath() {}, // django-socketio's client looked for its Flash file there.
  });
})();
