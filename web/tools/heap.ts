/**
 * Heap that decoding takes: node build/heap.mjs PACKAGES FILE [LAYERS] prints, as JSON, the largest sizes in MiB: of
 * objects and of buffers of JavaScript and of the module's memory, which browsers have just as node does.
 */

import fs from 'node:fs';

import { Wasm } from '../src/wasm.js';
import { decodeStream } from '../src/node.js';

const [models, file, layers] = process.argv.slice(2) as [string, string, string?];
const made: Wasm[] = [];
const start = Wasm.start.bind(Wasm);
Wasm.start = (async (...given: Parameters<typeof start>) => {
  const wasm = await start(...given);
  made.push(wasm);
  return wasm;
}) as typeof start;

const most = { objects: 0, buffers: 0, wasm: 0, all: 0 };
function look(): void {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  const wasm = made.reduce((sum, one) => sum + one.size, 0);
  const now = { objects: heapUsed, buffers: arrayBuffers, wasm, all: heapUsed + arrayBuffers + wasm };
  for (const key of ['objects', 'buffers', 'wasm', 'all'] as const)
    most[key] = Math.max(most[key], Math.round(now[key] / 2 ** 20));
}

const timer = setInterval(look, 20); // work rests every 25 ms
const options = { models, ...(layers ? { layers: Number(layers) } : {}) };
for await (const { layers: shown } of decodeStream(fs.readFileSync(file), options)) {
  look();
  console.error(`layer ${shown}`, JSON.stringify(most));
}
clearInterval(timer);
console.log(JSON.stringify(most));
