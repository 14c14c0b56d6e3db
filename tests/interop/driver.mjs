// Drives the official JavaScript clients for the tests: one JSON object per line in (a command),
// one per line out (a command's result, or something that happened to a client). What the commands
// mean is told in clients.py; driver.py is the same for the Python client.
//
// The argument names the module that knows what is particular to the client's generation:
// revision4.mjs or revision3.mjs.

import { createInterface } from "node:readline";

const { canTimeOut, makeManager, watchManager, watchSocket, forget, silence } = await import(
  process.argv[2]
);

// By number: { manager, sockets by namespace, answers by event, upgrade }.
const clients = new Map();

const commands = {
  // Connects to one or more namespaces. `early` is emitted before there is a connection. With
  // `held`, the upgrade waits until a `count` lets it go.
  open({ client, url, query, headers, transports, namespaces, auth, early, reconnection, held }) {
    const upgrade = {};
    upgrade.promise = new Promise((resolve) => (upgrade.resolve = resolve));
    const options = {
      autoConnect: false,
      query,
      extraHeaders: headers,
      transports,
      reconnection,
      reconnectionDelay: 50,
      reconnectionDelayMax: 250,
      randomizationFactor: 0,
    };
    const manager = makeManager(url, options, held ? upgrade.promise : null);
    const sockets = new Map(namespaces.map((name) => [name, manager.socket(name, { auth })]));
    clients.set(client, { manager, sockets, answers: new Map(), upgrade });
    manager.on("open", () => {
      manager.engine.once("upgrade", () => reporter(client, null)("upgrade"));
    });
    watchManager(manager, reporter(client, null));
    for (const [namespace, socket] of sockets) {
      watch(client, namespace, socket);
      for (const event of early) socket.emit(...event);
      socket.connect();
    }
  },

  // Emits events, all in one turn of the event loop.
  emit({ client, namespace, events }) {
    for (const event of events) find(client, namespace).emit(...event);
  },

  // Emits an event and reports the values of its acknowledgement; with a timeout, or an error.
  ask({ client, namespace, event, timeout }, reply) {
    const socket = find(client, namespace);
    if (timeout === null) {
      socket.emit(...event, (...values) => reply({ result: values }));
    } else if (canTimeOut) {
      socket
        .timeout(timeout * 1000)
        .emit(...event, (error, ...values) =>
          reply(error ? { error: error.message } : { result: values }),
        );
    } else {
      throw new Error("this client knows no timeouts");
    }
    return LATER;
  },

  // From now on, acknowledges an event of the server with these values; with null, never.
  answer({ client, event, values }) {
    clients.get(client).answers.set(event, values);
  },

  // Emits numbers, one per millisecond: some before the upgrade, which is held until then, some
  // while it goes on, and some behind it. Reports how many in all.
  count({ client, namespace, before, behind }, reply) {
    const { manager, upgrade } = clients.get(client);
    const socket = find(client, namespace);
    let [count, left] = [0, behind];
    const step = () => {
      if (left === 0) return reply({ result: count });
      socket.emit("message", count);
      count += 1;
      if (count === before) upgrade.resolve();
      if (manager.engine.transport.name === "websocket") left -= 1;
      setTimeout(step, 1);
    };
    if (socket.connected) step();
    else socket.once("connect", step);
    return LATER;
  },

  join({ client, namespace }) {
    find(client, namespace).connect();
  },

  disconnect({ client, namespace }) {
    find(client, namespace).disconnect();
  },

  // Ends the connection below Socket.IO, without a goodbye to the server's namespaces.
  drop({ client }) {
    clients.get(client).manager.engine.close();
  },

  // Takes part in the heartbeat no longer, and stays otherwise as it is.
  silence({ client }) {
    silence(clients.get(client).manager);
  },

  // Reports the ids that the client goes by on its own side.
  ids({ client }, reply) {
    const { sockets } = clients.get(client);
    reply({ result: Object.fromEntries([...sockets].map(([name, { id }]) => [name, id])) });
    return LATER;
  },

  // Lets go of a client, whatever its state.
  forget({ client }) {
    const { manager, sockets } = clients.get(client);
    clients.delete(client);
    manager.reconnection(false);
    for (const socket of sockets.values()) forget(socket);
  },
};

const LATER = Symbol("the command replies by itself");

function find(client, namespace) {
  return clients.get(client).sockets.get(namespace);
}

function reporter(client, namespace) {
  return (kind, ...args) => write({ client, namespace, kind, args });
}

function watch(client, namespace, socket) {
  const report = reporter(client, namespace);
  socket.on("connect", () => report("connect", socket.id, socket.io.engine.transport.name));
  socket.on("disconnect", (reason) => report("disconnect", reason));
  watchSocket(socket, report, (...args) => {
    if (typeof args.at(-1) === "function") {
      const acknowledge = args.pop();
      const { answers } = clients.get(client);
      const values = answers.has(args[0]) ? answers.get(args[0]) : [];
      if (values !== null) acknowledge(...values);
    }
    report("event", ...args);
  });
}

// JSON has no binary data: it travels as {"$bytes": base64} between this process and the tests.

function write(record) {
  process.stdout.write(JSON.stringify(record, encodeBinary) + "\n");
}

function encodeBinary(key, value) {
  const original = this[key]; // a Buffer has become something else in `value`
  if (original instanceof ArrayBuffer || ArrayBuffer.isView(original)) {
    return { $bytes: Buffer.from(original).toString("base64") };
  }
  return value;
}

function decodeBinary(key, value) {
  return typeof value?.$bytes === "string" ? Buffer.from(value.$bytes, "base64") : value;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, command, ...parameters } = JSON.parse(line, decodeBinary);
  const reply = (outcome) => write({ id, ...outcome });
  try {
    const result = commands[command](parameters, reply);
    if (result !== LATER) reply({ result: null });
  } catch (error) {
    reply({ error: String(error) });
  }
}
process.exit(0); // the tests closed our input; clients may still be trying to connect
