// A Socket.IO server of Node's in a cluster, for the tests: the official server with the official
// adapter, the official emitter, and an official client. One JSON object per line in (a command), one
// per line out (its result). The argument is Redis's URL.

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { createAdapter } from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";

const publisher = createClient({ url: process.argv[2] });
const subscriber = publisher.duplicate();
await Promise.all([publisher.connect(), subscriber.connect()]);

const http = createServer();
const io = new Server(http, { adapter: createAdapter(publisher, subscriber) });
const emitter = new Emitter(publisher);

io.on("connection", (socket) => {
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
    client.onAny((...event) => {
      heard.push(event);
      waiting?.();
    });
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
