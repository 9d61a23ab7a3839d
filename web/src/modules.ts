/** The wasm module, whichever of its two forms this engine has. */

import { relaxed, simd } from 'rgru-wasm'; // inlined by build.mjs

import { inflate } from './inflate.js';
import { hasRelaxedSimd, Wasm } from './wasm.js';

const MOST_BYTES = 2 ** 20;

let compiled: Promise<WebAssembly.Module> | undefined;

/** @param most bytes that it may take */
export async function startWasm(most: number): Promise<Wasm> {
  compiled ??= inflate(hasRelaxedSimd() ? relaxed : simd, MOST_BYTES, 'the module').then((code) =>
    WebAssembly.compile(code as Uint8Array<ArrayBuffer>),
  );
  return Wasm.start(await compiled, most);
}
