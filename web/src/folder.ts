/** Model packages in folders, for node: as Python has them, or as they are put on a page. */

import fs from 'node:fs/promises';
import path from 'node:path';

import { headSize, splitContext } from './context.js';
import { ModelMissing } from './errors.js';
import { SUFFIX } from './fetchmodel.js';
import { inflate } from './inflate.js';
import { checkId, Model, type Parts } from './model.js';

const MOST_BYTES = 2 ** 27;

/** A model below a folder, in a folder of its own that is named by its id. */
export function modelInFolder(folder: string, id: string): Model {
  return new Model(checkId(id), partsInFolder(path.join(folder, id), id));
}

function partsInFolder(folder: string, id: string): Parts {
  let context: Promise<Uint8Array[]> | undefined;
  return async (name) => {
    try {
      const layer = /^context-(\d+)\.bin$/.exec(name);
      const whole = await fs.stat(path.join(folder, 'context.bin')).catch(() => null);
      if (!whole) return await inflate(await fs.readFile(path.join(folder, name + SUFFIX)), MOST_BYTES, name);
      if (!layer) return new Uint8Array(await fs.readFile(path.join(folder, name)));
      context ??= fs.readFile(path.join(folder, 'context.bin')).then(partsOf);
      return (await context)[Number(layer[1])] as Uint8Array;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
      throw new ModelMissing(id, (error as Error).message);
    }
  };
}

function partsOf(file: Uint8Array): Uint8Array[] {
  const { head, layers } = splitContext(file);
  return [head.subarray(0, headSize(layers.length)), ...layers];
}
