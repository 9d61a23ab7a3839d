/** rgru in browsers: files to bitmaps as they arrive, pictures to files. The work is done in a worker. */

import { check, checkDecode, checkEncode, checkFlag } from './checks.js';
import { Talk } from './client.js';
import { hex, joined } from './container.js';
import type { Header } from './container.js';
import { Damaged, InvalidInput, ModelMissing, Unreadable } from './errors.js';
import type { DecodeOptions, EncodeOptions, Pixels } from './options.js';
import { shown } from './shown.js';
import { type Data, piecesOf } from './source.js';

export { useWorker } from './client.js';
export * from './errors.js';
export { DEFAULT_LIMITS, type Limits } from './limits.js';
export type { Header } from './container.js';
export type { Pixels } from './options.js';
export type { Data } from './source.js';

export interface Options {
  /** URL of the folder of model packages; by default `models/` beside the page. */
  models?: string | URL | undefined;
}

/** A picture of a file that may still be arriving. */
export interface Shown {
  /** Whole layers in it. */
  layers: number;
  /** Groups of a further layer in it. */
  groups: number;
  /** Bytes of the file up to there. */
  bytes: number;
  bitmap: ImageBitmap;
}

export interface StreamOptions extends DecodeOptions, Options {
  /** Told of the header, before the model is fetched. */
  onheader?: ((header: Header) => void) | undefined;
}

/** Anything that a browser has a picture in. */
export type Image =
  Blob | ImageBitmap | ImageData | HTMLImageElement | HTMLCanvasElement | OffscreenCanvas | HTMLVideoElement;

export interface WriteOptions extends EncodeOptions, Options {
  /** Id of the model to write with; by default the one that the file `default` in the folder of models names. */
  model?: string | undefined;
}

/** What `encodeStream` has written, layer by layer. */
export interface Written {
  /** Layers in the file so far; 0: header only. */
  layers: number;
  /** What belongs behind the pieces before. */
  piece: Uint8Array;
  /** The picture so far, if it was asked for. */
  bitmap?: ImageBitmap | undefined;
}

const DEFAULT = 'default';

/** URL of a folder of models, with a slash at its end. */
function folder({ models = 'models/' }: Options): string {
  const given = typeof models === 'string' ? models : models?.href; // that of a frame is no URL of this page
  const url = typeof given === 'string' && urlOf(given);
  if (!url) throw new InvalidInput(`models must be a URL, got ${shown(models)}`);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url.href;
}

function urlOf(text: string): URL | undefined {
  try {
    return new URL(text, globalThis.document?.baseURI ?? globalThis.location?.href);
  } catch {
    return undefined;
  }
}

/**
 * Pictures of a file as it arrives, one for each layer.
 * @throws InvalidInput for the options; NotRgru, UnsupportedVersion, Damaged, LimitExceeded, ModelMissing, behind
 *   the pictures that could be had
 */
export async function* decodeStream(data: Data, options: StreamOptions = {}): AsyncGenerator<Shown, void> {
  const { models, signal, onheader, ...sent } = options;
  const pieces = piecesOf(data, signal);
  try {
    checkDecode(sent);
    check('onheader', onheader, typeof onheader === 'function', 'a function');
    const base = folder({ models });
    const talk = new Talk(signal);
    talk.send({ kind: 'decode', models: base, options: sent });
    for await (const reply of talk.read()) {
      if (reply.kind === 'more') void feed(talk, pieces);
      else if (reply.kind === 'header') onheader?.(reply.header);
      else if (reply.kind === 'picture') {
        const { layers, groups, bytes, bitmap } = reply;
        yield { layers, groups, bytes, bitmap };
      }
    }
  } finally {
    pieces.return?.().catch(() => undefined); // its errors come too late to matter
  }
}

async function feed(talk: Talk, pieces: AsyncIterator<Uint8Array>): Promise<void> {
  try {
    const { value, done } = await pieces.next();
    talk.send({ kind: 'bytes', data: done ? null : value });
  } catch (error) {
    talk.fail(error);
  }
}

/** The last picture of a file. */
export async function decode(data: Data, options: Omit<StreamOptions, 'pictures'> = {}): Promise<ImageBitmap> {
  let last: ImageBitmap | undefined;
  try {
    for await (const { bitmap } of decodeStream(data, { ...options, pictures: 'last' })) {
      last?.close();
      last = bitmap;
    }
  } catch (error) {
    if (!(options.partial && error instanceof Damaged && last)) throw error;
  }
  return last as ImageBitmap;
}

/** A file of a picture. */
export async function encode(image: Image | Pixels, options: WriteOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  for await (const { piece } of encodeStream(image, options)) pieces.push(piece);
  return joined(pieces);
}

/** A file of a picture, layer by layer; with `show`, each with the picture that a decoder shows. */
export async function* encodeStream(
  image: Image | Pixels,
  options: WriteOptions & { show?: boolean | undefined } = {},
): AsyncGenerator<Written, void> {
  const { models, model, signal, ...sent } = options;
  if (typeof image !== 'object' || !image) throw new InvalidInput('image must be a picture of the page, or pixels');
  checkEncode(options);
  checkFlag('show', sent.show);
  const base = folder({ models });
  const talk = new Talk(signal);
  const given = holdsLevels(image) ? image : await bitmapOf(image);
  const pixels = given instanceof ImageBitmap ? given : { width: given.width, height: given.height, data: given.data };
  const chosen = model ?? (await defaultModel(base));
  talk.send(
    { kind: 'encode', models: base, model: chosen, image: pixels, options: sent },
    pixels instanceof ImageBitmap ? [pixels] : [],
  );
  for await (const reply of talk.read())
    if (reply.kind === 'piece') yield { layers: reply.layers, piece: reply.piece, bitmap: reply.bitmap };
}

/** Whether there are levels of sRGB to take as they are; the browser turns others into such. */
function holdsLevels(image: Image | Pixels): image is Pixels {
  const { colorSpace = 'srgb' } = image as ImageData;
  return 'data' in image && !(image instanceof ImageData && (colorSpace !== 'srgb' || !isLevels(image.data)));
}

function isLevels(data: unknown): boolean {
  return data instanceof Uint8ClampedArray;
}

async function bitmapOf(image: Image): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(image);
  } catch (error) {
    throw new Unreadable(`the picture cannot be read: ${(error as Error).message}`);
  }
}

async function defaultModel(base: string): Promise<string> {
  const response = await fetch(base + DEFAULT).catch((error: Error) => ({
    ok: false,
    status: error.message,
    text: async () => '',
  }));
  const id = (await response.text()).trim();
  if (!response.ok || !/^[0-9a-f]{8}$/.test(id))
    throw new ModelMissing(DEFAULT, `${base}${DEFAULT}: ${response.ok ? 'not the id of a model' : response.status}`);
  return id;
}

/** Model id of a file's header, in hexadecimal: what to fetch before the file comes. */
export function modelOf(header: Uint8Array): string {
  return hex(header.subarray(15, 19));
}
