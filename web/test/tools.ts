/** What tests share. */

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

import { Wasm } from '../src/wasm.js';

export const WEB = path.resolve(process.env.RGRU_WEB ?? '.');
export const VECTORS = process.env.RGRU_VECTORS ?? path.join(WEB, '../format/vectors');

export function sha256(data: Uint8Array | Int8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** An instance of the module; `simd` is what all engines have. */
export async function start(kind = 'simd', most = 2 ** 31): Promise<Wasm> {
  const bytes = fs.readFileSync(path.join(WEB, 'wasm', `${kind}.wasm`));
  return Wasm.start(await WebAssembly.compile(bytes), most);
}
