/** Model packages in folders, for node: as Python has them, or as they are put on a page. */

import { createHash } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';

import { headSize, splitContext } from './context.js';
import { Damaged, InvalidInput, ModelMissing } from './errors.js';
import { LIST, parseList, SUFFIX } from './fetchmodel.js';
import { inflate } from './inflate.js';
import { checkId, Model, type Parts } from './model.js';
import { DECODING_HALF, digestOf } from './packmodel.js';

const MOST_BYTES = 2 ** 27;

/** A model below a folder, in a folder of its own that is named by its id. */
export function modelInFolder(folder: string, id: string): Model {
  return new Model(checkId(id), partsInFolder(path.join(folder, id), id));
}

function partsInFolder(folder: string, id: string): Parts {
  let half: Promise<Map<string, Uint8Array> | null> | undefined;
  return async (name) => {
    try {
      half ??= halfIn(folder, id);
      half.catch(() => (half = undefined)); // it may be mended meanwhile
      const files = await half;
      if (files) return files.get(name) ?? new Uint8Array(await fs.readFile(path.join(folder, name)));
      half = undefined;
      return await partOf(await fs.readFile(path.join(folder, name + SUFFIX)), folder, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
      if (name.startsWith('encoder'))
        throw new InvalidInput(`model ${id} has no ${name} (${(error as Error).message})`);
      throw new ModelMissing(id, (error as Error).message);
    }
  };
}

/** The parts of a decoding half as Python has it, checked against its id; null if the folder is another one. */
async function halfIn(folder: string, id: string): Promise<Map<string, Uint8Array> | null> {
  if (!(await fs.stat(path.join(folder, 'context.bin')).catch(() => null))) return null;
  const files = new Map<string, Uint8Array>();
  for (const name of DECODING_HALF) files.set(name, new Uint8Array(await fs.readFile(path.join(folder, name))));
  const found = digestOf(files).slice(0, 8);
  if (found !== id) throw new Damaged(`${folder} does not hold model ${id}: its files give the id ${found}`);
  partsOf(files.get('context.bin') as Uint8Array).forEach((part, i) => files.set(`context-${i}.bin`, part));
  return files;
}

/** A part of a package for pages, checked against the list of parts. */
async function partOf(deflated: Uint8Array, folder: string, name: string): Promise<Uint8Array> {
  const list = parseList(new Uint8Array(await fs.readFile(path.join(folder, LIST))));
  const part = await inflate(deflated, MOST_BYTES, path.join(folder, name));
  if (createHash('sha256').update(part).digest('hex') !== list[name])
    throw new Damaged(`${path.join(folder, name)}: not what ${LIST} says`);
  return part;
}

function partsOf(file: Uint8Array): Uint8Array[] {
  const { head, layers } = splitContext(file);
  return [head.subarray(0, headSize(layers.length)), ...layers];
}
