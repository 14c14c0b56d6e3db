// What driver.mjs has to know of socket.io-client 4.x, which speaks Engine.IO 4.

import { Manager, NodeWebSocket, NodeXHR } from "socket.io-client";

// Whether a client can give up waiting for an acknowledgement.
export const canTimeOut = true;

// Makes a manager; its upgrade waits for the promise `released`, if there is one.
export function makeManager(url, options, released) {
  if (released === null) return new Manager(url, options);
  return new Manager(url, { ...options, transports: [NodeXHR, heldWebSocket(released)] });
}

function heldWebSocket(released) {
  return class extends NodeWebSocket {
    doOpen() {
      released.then(() => super.doOpen());
    }
  };
}

// Reports heartbeats, which the server begins.
export function watchManager(manager, report) {
  manager.on("ping", () => report("ping"));
}

// Reports refusals, and calls `heard` for every event: its name, its arguments, and a function if
// it wants to be acknowledged.
export function watchSocket(socket, report, heard) {
  socket.on("connect_error", (error) => report("connect_error", error.message, error.data));
  socket.onAny(heard);
}

// Lets go of a socket: nothing more is reported of it.
export function forget(socket) {
  socket.offAny().removeAllListeners().disconnect();
}

// Keeps a client from taking part in the heartbeat.
export function silence() {
  throw new Error("this client can't be silenced");
}
