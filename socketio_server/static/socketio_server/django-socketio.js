/*
 * What pages need on top of the official Socket.IO client, which is loaded before this file:
 *
 * 1. where the server is: `io()` goes to the path and port that the `{% socketio %}` tag wrote down,
 *    over the transports that it named;
 * 2. channels: `socket.subscribe(channel)` and `socket.unsubscribe(channel)`, which outlive a lost
 *    connection;
 * 3. sockets in django-socketio's way: `new io.Socket(host, options)` and then `.connect()`.
 *
 * On the wire a subscription is an ordinary event, `__subscribe__` or `__unsubscribe__` with the
 * channel's name, acknowledged with `true`, `false` or `{"error": ...}`.
 */
(function () {
  "use strict";

  const official = window.io;
  if (!official) {
    throw new Error("django-socketio.js goes after socket.io.min.js: use {% socketio %} for both");
  }

  // The tag's `data-` attributes: so a page needs no inline script. `port` is there only where
  // another server than ours served the page, `transports` only where ours does not speak all.
  const settings = document.currentScript ? document.currentScript.dataset : {};
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
      // channel -> {queued, left, acks}. `queued`: the official client holds the request back and
      // sends it in its turn. `left`: the page unsubscribed while it was offline. `acks`: the page's
      // callbacks that wait for the server's answer.
      this.entries = new Map();
      this.restored = socket.connected; // For this connection; false while there is none.
      this.opening = false; // True while the `connect` handlers run.
      socket.on("connect", () => this.restore());
      socket.on("disconnect", () => {
        this.restored = false;
      });
      // What was queued goes out before `connect` fires; this is called just before the first of it.
      socket.onAnyOutgoing(() => this.restore());
    }

    subscribe(channel, ack) {
      this.restore();
      const known = this.entries.get(channel);
      if (known && (this.opening || !this.socket.connected)) {
        known.left = false;
        known.acks.push(...callbacks(ack));
      } else {
        const entry = { queued: !this.socket.connected, left: false, acks: callbacks(ack) };
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
      this.socket.emit("__subscribe__", channel, (...answer) => {
        const result = answer[answer.length - 1]; // After an error argument, with `ackTimeout`.
        if (result && result.error && this.entries.get(channel) === entry) {
          this.entries.delete(channel);
        }
        settle(entry, answer);
      });
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

  // The last two are django-socketio's names for `on` and `off`.
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
    removeEvent(name, handler) {
      return handler ? this.off(name, handler) : this;
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

  /** Add our server's port to a namespace ("/chat") or to nothing; leave an address as it is. */
  function onOurServer(uri) {
    const isAddress = uri && !/^\/(?!\/)/.test(uri);
    return isAddress || !serverPort ? uri : serverAddress() + (uri || "");
  }

  function serverAddress(host, port, secure) {
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
    socket.connect = connectLater;
    rememberLosses(socket, address);
    return socket;
  }
  Socket.prototype = official.Socket.prototype; // For `instanceof`.

  /** Say in the official client's words what django-socketio's options said; keep all others. */
  function currentOptions(options) {
    const current = Object.assign({}, options, { autoConnect: false, forceNew: true });
    ["port", "secure", "resource", "connectTimeout"].forEach((name) => delete current[name]);
    if (options.resource) {
      current.path = `/${options.resource.replace(/^\/+|\/+$/g, "")}/`;
    }
    if (options.transports) {
      current.transports = Array.from(
        new Set(options.transports.map((name) => TRANSPORTS[name] || name)),
      );
      current.tryAllTransports = true;
    }
    if (options.connectTimeout) {
      current.timeout = options.connectTimeout;
    }
    return current;
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

  window.io = Object.assign(connect, official, { Socket, connect, io: connect });
})();
