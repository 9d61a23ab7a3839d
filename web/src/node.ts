/** rgru in node: files to codes and pixels, pixels to files. */

import { fileURLToPath } from 'node:url';

import { decodeFile } from './decode.js';
import { encodeFile } from './encode.js';
import { Lease, leased } from './engines.js';
import { fetchedModel } from './fetchmodel.js';
import { modelInFolder } from './folder.js';
import { joined } from './container.js';
import { Damaged, InvalidInput } from './errors.js';
import { type GivenLimits, limitsOf } from './limits.js';
import { checkId, type Model } from './model.js';
import type { DecodeOptions, EncodeOptions, Picture, Pixels } from './options.js';
import { shown } from './shown.js';
import { type Data, piecesOf } from './source.js';

export * from './errors.js';
export { DEFAULT_LIMITS, type Limits } from './limits.js';
export type { DecodeOptions, EncodeOptions, Picture, Pixels } from './options.js';
export { packModel } from './packmodel.js';
export type { Data } from './source.js';

export interface Models {
  /** Where model packages are: a folder, or a URL. */
  models: string | URL;
}

const known = new Map<string, Model>();

function finder(options: Models): (id: string) => Model {
  const { models } = options ?? {};
  if (!((typeof models === 'string' && models) || models instanceof URL))
    throw new InvalidInput(`models must be a folder or a URL, got ${shown(models)}`);
  const place = String(models);
  return (id) => {
    const key = `${place} ${checkId(id)}`;
    let model = known.get(key);
    if (!model) {
      const folder = place.startsWith('file:') ? fileURLToPath(place) : place;
      model = /^https?:/.test(place) ? fetchedModel(place.replace(/\/?$/, '/'), id) : modelInFolder(folder, id);
      known.set(key, model);
    }
    return model;
  };
}

function lease(options: Models & { limits?: GivenLimits | undefined }): Lease {
  return new Lease(finder(options), limitsOf(options.limits).maxMemory);
}

/** Pictures of a file as it arrives, one for each layer. */
export function decodeStream(data: Data, options: DecodeOptions & Models): AsyncGenerator<Picture, void> {
  const engine = lease(options);
  return leased(engine, decodeFile(piecesOf(data, options.signal), engine.find, options));
}

/** The last picture of a file. */
export async function decode(data: Data, options: Omit<DecodeOptions, 'pictures'> & Models): Promise<Picture> {
  let last: Picture | undefined;
  try {
    for await (const picture of decodeStream(data, { ...options, pictures: 'last' })) last = picture;
  } catch (error) {
    if (!(error instanceof Damaged && options.partial && last)) throw error;
  }
  return last as Picture;
}

/** Codes of each whole layer: int8 (rows, columns, C), -1 and +1. */
export async function decodeCodes(data: Data, options: DecodeOptions & Models): Promise<Int8Array[]> {
  const layers: Int8Array[] = [];
  const engine = lease(options);
  const watch = { codes: (_: number, codes: Int8Array) => layers.push(codes) };
  const pictures = decodeFile(piecesOf(data, options.signal), engine.find, { ...options, pictures: 'none' }, watch);
  for await (const _ of leased(engine, pictures));
  return layers;
}

/** A file of pixels. `model`: id of the model to write with. */
export async function encode(pixels: Pixels, options: EncodeOptions & Models & { model: string }): Promise<Uint8Array> {
  const engine = lease(options);
  const pieces: Uint8Array[] = [];
  const written = encodeFile(pixels, () => engine.find(options.model), options);
  for await (const { piece } of leased(engine, written)) pieces.push(piece);
  return joined(pieces);
}
