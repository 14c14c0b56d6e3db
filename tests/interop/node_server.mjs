// A Socket.IO server of Node's in a cluster, for the tests: the official server with the official
// adapter, the official emitter, and an official client. One JSON object per line in (a command), one
// per line out (its result). The arguments are Redis's URL, and the adapter's
// options.

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { createAdapter } from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";

const [url, options] = [process.argv[2], JSON.parse(process.argv[3])];
const publisher = createClient({ url });
const subscriber = publisher.duplicate();
await Promise.all([publisher.connect(), subscriber.connect()]);

const http = createServer();
const io = new Server(http, { adapter: createAdapter(publisher, subscriber, options) });
const emitter = new Emitter(publisher);

const notes = []; // what servers have told
io.on("note", (note) => notes.push(note));
io.on("add", (a, b, answer) => answer(a + b));

io.on("connection", (socket) => {
  socket.data.on = "Node";
  socket.on("join", (room, answer) => {
    socket.join(room);
    answer("joined");
  });
});

// What JSON has no form for.
function revive(key, value) {
  if (value?.date) return new Date(value.date);
  if (value?.bytes) return Buffer.from(value.bytes);
  return value;
}

// Returns what operates on the sockets in some rooms, or on all.
function target(by, rooms) {
  const all = by === "emitter" ? emitter : io;
  return rooms.length ? all.in(rooms) : all.except([]);
}

let client = null; // the official one
const heard = []; // its events
let waiting = null; // for the next event

const commands = {
  // Emits an event, by the server or the emitter, to `rooms` or all, but not to those in `except`.
  emit({ by, rooms = [], except = [], volatile = false, event }, reply) {
    let target = by === "emitter" ? emitter : io;
    for (const room of rooms) target = target.to(room);
    for (const room of except) target = target.except(room);
    if (volatile) target = target.volatile;
    target.emit(...event);
    reply(null);
  },

  // Connects the official client to a server; one that was connected before is closed.
  connect({ url }, reply) {
    client?.close();
    client = connect(url, { forceNew: true });
    heard.length = 0;
    client.on("connect", () => reply(client.id));
    client.on("question", (question, answer) => answer(`Node: ${question}`));
    client.onAny((...event) => {
      heard.push(event);
      waiting?.();
    });
  },

  // Lets sockets join rooms, or leave them, or disconnects them; by the server or the emitter.
  join({ by, to, rooms }, reply) {
    target(by, to).socketsJoin(rooms);
    reply(null);
  },
  leave({ by, to, rooms }, reply) {
    target(by, to).socketsLeave(rooms);
    reply(null);
  },
  disconnect({ by, to, close }, reply) {
    target(by, to).disconnectSockets(close);
    reply(null);
  },

  // Replies with the sockets in some rooms, on all servers.
  async fetch({ to = [] }, reply) {
    const sockets = await target("server", to).fetchSockets();
    reply(
      sockets.map(({ id, handshake, rooms, data }) => ({ id, handshake, rooms: [...rooms], data })),
    );
  },

  // Replies with the rooms of all servers.
  async rooms(_, reply) {
    reply([...(await io.of("/").adapter.allRooms())]);
  },

  // Emits an event to the other servers, whose answers are the reply if it is to be acknowledged.
  tell({ by, event }, reply) {
    (by === "emitter" ? emitter : io).serverSideEmit(...event);
    reply(null);
  },
  askServers({ event }, reply) {
    io.serverSideEmit(...event, (error, answers) => reply({ error: error?.message, answers }));
  },

  // Replies with what other servers have told.
  notes(_, reply) {
    reply(notes.splice(0));
  },

  // Emits an event that clients are to acknowledge; their answers are the reply.
  ask({ to, event, timeout }, reply) {
    target("server", to)
      .timeout(timeout)
      .emit(...event, (error, answers) => reply({ error: error?.message ?? null, answers }));
  },

  // Replies with the client's next event.
  next(_, reply) {
    waiting = () => {
      waiting = null;
      reply(heard.shift());
    };
    if (heard.length) waiting();
  },
};

http.listen(0, "127.0.0.1", () => console.log(JSON.stringify(http.address().port)));
createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line, revive);
  commands[command.do](command, (result) => console.log(JSON.stringify(result)));
});
