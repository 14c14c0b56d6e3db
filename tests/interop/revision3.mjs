// What driver.mjs has to know of socket.io-client 2.x, which speaks Engine.IO 3. Its exports are
// explained in revision4.mjs.

import { createRequire } from "node:module";

const { Manager } = createRequire(import.meta.url)("socket.io-client-2");

const ANY = "any event";

export const canTimeOut = false;

export function makeManager(url, options, released) {
  const manager = new Manager(url, options);
  if (released !== null) manager.on("open", () => holdUpgrade(manager.engine, released));
  return manager;
}

// The engine tells that it is open before it begins to probe.
function holdUpgrade(engine, released) {
  const { probe } = engine;
  engine.probe = (name) => released.then(() => probe.call(engine, name));
}

// Here the client begins the heartbeats.
export function watchManager(manager, report) {
  manager.on("pong", () => report("ping"));
}

export function watchSocket(socket, report, heard) {
  socket.on("connect_error", (error) => report("connect_error", error.message));
  socket.on("error", (message) => report("connect_error", message));
  // There is no onAny: every event is made an argument of another, which can be listened to.
  const { onevent } = socket;
  socket.onevent = (packet) => onevent.call(socket, { ...packet, data: [ANY, ...packet.data] });
  socket.on(ANY, heard);
}

export function forget(socket) {
  socket.removeAllListeners().disconnect();
}

// The client would notice its own silence.
export function silence({ engine }) {
  engine.setPing = engine.onHeartbeat = () => {};
  engine.removeAllListeners("heartbeat");
  clearTimeout(engine.pingIntervalTimer);
  clearTimeout(engine.pingTimeoutTimer);
}
