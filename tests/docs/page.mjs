// Runs a page's script in Node.js, with what `{% socketio %}` gives to pages: `io`, made of the
// official client and our own half.
//
//     node page.mjs CLIENT SHIM ADDRESS < SCRIPT
//
// What the script logs is what it shows. It ends when the test ends it.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import vm from "node:vm";

const [client, shim, address] = process.argv.slice(2);

globalThis.window = globalThis;
globalThis.location = new URL(address);
globalThis.document = { currentScript: { dataset: { path: "/socket.io/" } } };
globalThis.io = createRequire(import.meta.url)(client);
vm.runInThisContext(readFileSync(shim, "utf8"), { filename: shim });
delete globalThis.document;

vm.runInThisContext(`(async () => {\n${readFileSync(0, "utf8")}\n})()`, { filename: "page" });
