/** From a model package as Python has it to one that pages fetch part by part. */

import { createHash } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { deflateSync } from 'node:zlib';

import { splitContext } from './context.js';
import { InvalidInput } from './errors.js';
import { LIST, SUFFIX } from './fetchmodel.js';
import { parseTable } from './model.js';

/** The files that a model's id covers, in this order (SPEC section 11.1). */
export const DECODING_HALF = ['model.json', 'decoder.safetensors', 'context.bin'];

/** SHA-256 of a package's decoding half, in hexadecimal; its first four bytes are the id. */
export function digestOf(files: Map<string, Uint8Array>): string {
  const digest = createHash('sha256');
  for (const name of DECODING_HALF) {
    const data = files.get(name);
    if (!data) throw new InvalidInput(`the package has no ${name}`);
    digest.update(`${name} ${data.length}\n`).update(data);
  }
  return digest.digest('hex');
}

/**
 * Write a package for pages.
 * @param from a folder that holds the files of a package
 * @param to the folder of packages; a folder named by the id is made in it
 * @returns the id
 * @throws InvalidInput it is no package
 */
export async function packModel(from: string, to: string): Promise<string> {
  const names = (await fs.readdir(from)).filter(
    (name) => DECODING_HALF.includes(name) || /^encoder.*\.safetensors$/.test(name),
  );
  const files = new Map<string, Uint8Array>();
  for (const name of names) files.set(name, new Uint8Array(await fs.readFile(path.join(from, name))));
  const id = digestOf(files).slice(0, 8);
  const { name } = parseTable(files.get('model.json') as Uint8Array);
  const { head, layers } = splitContext(files.get('context.bin') as Uint8Array);
  files.delete('context.bin');
  [head, ...layers].forEach((part, i) => files.set(`context-${i}.bin`, part));
  const folder = path.join(to, id);
  await fs.mkdir(folder, { recursive: true });
  const sha256: Record<string, string> = {};
  const bytes: Record<string, number> = {};
  for (const [name, data] of files) {
    const packed = deflateSync(data, { level: 9 });
    await fs.writeFile(path.join(folder, name + SUFFIX), packed);
    sha256[name] = createHash('sha256').update(data).digest('hex');
    bytes[name] = packed.length;
  }
  const list = { id, name, layers: layers.length, bytes, sha256 };
  await fs.writeFile(path.join(folder, LIST), JSON.stringify(list, null, 1));
  const about = {
    name: `rgru-model-${id}`,
    version: '1.0.0',
    description: `Model ${id} of rgru`,
    license: 'Apache-2.0',
  };
  await fs.writeFile(path.join(folder, 'package.json'), JSON.stringify(about, null, 2));
  return id;
}
