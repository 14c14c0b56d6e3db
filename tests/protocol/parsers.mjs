// The parsers of socket.io-client 2.x, asked by test_parsers.py: an array of questions on the
// standard input, the array of their answers on the standard output. Bytes are {"base64": …}.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const requireHere = createRequire(import.meta.url);
const requireThere = createRequire(requireHere.resolve("socket.io-client-2"));
const engine = createRequire(requireThere.resolve("engine.io-client"))("engine.io-parser");
const socket = requireThere("socket.io-parser");

const freeze = (value) => (Buffer.isBuffer(value) ? { base64: value.toString("base64") } : value);

// Buffers of a value replaced, and put in their places again.
const freezeAll = (value) =>
  JSON.parse(
    JSON.stringify(value, (key, item) =>
      item?.type === "Buffer" ? { base64: Buffer.from(item.data).toString("base64") } : item,
    ),
  );
const thawAll = (value) => {
  if (value === null || typeof value !== "object") return value;
  if (typeof value.base64 === "string") return Buffer.from(value.base64, "base64");
  if (Array.isArray(value)) return value.map(thawAll);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, thawAll(item)]));
};

const packetOf = ({ type, data = "" }) => ({ type, data: freeze(data) });

const answers = {
  decodePacket: ({ wire }) => packetOf(engine.decodePacket(wire)),
  decodePayload: ({ wire }) => {
    const packets = [];
    engine.decodePayload(wire, (packet) => {
      packets.push(packetOf(packet));
    });
    return packets;
  },
  encodePayload: ({ packets, supportsBinary }) => {
    let encoded;
    engine.encodePayload(packets, supportsBinary, (result) => (encoded = result));
    return freeze(encoded);
  },
  encodePacket: ({ packet, supportsBinary }) => {
    let encoded;
    engine.encodePacket(packet, supportsBinary, (result) => (encoded = result));
    return freeze(encoded);
  },
  decode: ({ parts }) => {
    const decoder = new socket.Decoder();
    let decoded = null;
    decoder.on("decoded", (packet) => (decoded = packet));
    for (const part of parts) decoder.add(part);
    return freezeAll(decoded);
  },
  encode: ({ packet }) => {
    let parts;
    new socket.Encoder().encode(packet, (result) => (parts = result));
    return parts.map(freeze);
  },
};

const questions = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(
  JSON.stringify(questions.map(({ ask, ...details }) => answers[ask](thawAll(details)))),
);
