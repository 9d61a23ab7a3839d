/** Decoding and encoding off the page's thread. Requests run side by side and can be cancelled. */

import type { Header } from './container.js';
import { decodeFile } from './decode.js';
import { encodeFile } from './encode.js';
import { Lease, leased } from './engines.js';
import { tell } from './errors.js';
import { fetchedModel } from './fetchmodel.js';
import { limitsOf } from './limits.js';
import type { Reply, Request } from './messages.js';
import { checkId, type Model } from './model.js';
import type { Picture, Pixels } from './options.js';

type Task<Kind extends Request['kind']> = Request & { kind: Kind };

interface Running {
  cancel: AbortController;
  /** Takes the bytes that were asked for. */
  take: ((data: Uint8Array | null) => void) | undefined;
}

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Request>) => void;
  postMessage: (reply: Reply, transfer?: Transferable[]) => void;
};
const running = new Map<number, Running>();
const models = new Map<string, Model>();

function modelAt(base: string): (id: string) => Model {
  return (id) => {
    const key = `${base} ${checkId(id)}`;
    const model = models.get(key) ?? fetchedModel(base, id);
    models.set(key, model);
    return model;
  };
}

scope.onmessage = ({ data: request }) => {
  if (request.kind === 'bytes') running.get(request.id)?.take?.(request.data);
  else if (request.kind === 'cancel') running.get(request.id)?.cancel.abort();
  else void run(request);
};

async function run(request: Task<'decode'> | Task<'encode'>): Promise<void> {
  const { id } = request;
  const task: Running = { cancel: new AbortController(), take: undefined };
  running.set(id, task);
  try {
    if (request.kind === 'decode') await decode(request, task);
    else await encode(request, task);
    scope.postMessage({ id, kind: 'done' });
  } catch (error) {
    scope.postMessage({ id, kind: 'error', error: tell(error) });
  } finally {
    running.delete(id);
  }
}

async function decode({ id, models: base, options }: Task<'decode'>, task: Running): Promise<void> {
  const { signal } = task.cancel;
  const lease = new Lease(modelAt(base), limitsOf(options.limits).maxMemory);
  const watch = { header: (header: Header) => scope.postMessage({ id, kind: 'header', header }) };
  for await (const picture of leased(lease, decodeFile(pieces(id, task), lease.find, { ...options, signal }, watch))) {
    const { layers, groups, bytes } = picture;
    const bitmap = await bitmapOf(picture.pixels, picture.width, picture.height, picture.colour);
    scope.postMessage({ id, kind: 'picture', layers, groups, bytes, bitmap }, [bitmap]);
  }
}

/** Bytes of a file, each piece asked for when the one before is worked on. */
async function* pieces(id: number, task: Running): AsyncGenerator<Uint8Array> {
  const { signal } = task.cancel;
  for (;;) {
    const data = await new Promise<Uint8Array | null>((resolve, reject) => {
      task.take = resolve;
      signal.onabort = () => reject(signal.reason as Error);
      scope.postMessage({ id, kind: 'more' });
    });
    if (!data) return;
    yield data;
  }
}

function bitmapOf(
  pixels: Uint8ClampedArray<ArrayBuffer>,
  width: number,
  height: number,
  colorSpace: Picture['colour'],
): Promise<ImageBitmap> {
  return createImageBitmap(new ImageData(pixels, width, height, { colorSpace }));
}

async function encode({ id, models: base, model, image, options }: Task<'encode'>, task: Running): Promise<void> {
  const { show, ...rest } = options;
  const lease = new Lease(modelAt(base), limitsOf(options.limits).maxMemory);
  const pixels = 'data' in image ? image : pixelsOf(image);
  const all = { ...rest, signal: task.cancel.signal };
  for await (const { layers, piece, picture } of leased(
    lease,
    encodeFile(pixels, () => lease.find(model), all, show),
  )) {
    const bitmap = picture && (await bitmapOf(picture.data, picture.width, picture.height, 'srgb'));
    const moved: Transferable[] = bitmap ? [piece.buffer as ArrayBuffer, bitmap] : [piece.buffer as ArrayBuffer];
    scope.postMessage({ id, kind: 'piece', layers, piece, bitmap }, moved);
  }
}

function pixelsOf(image: ImageBitmap): Pixels {
  const { width, height } = image;
  const canvas = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!canvas) throw new Error('this browser gives no canvas of that size');
  canvas.drawImage(image, 0, 0);
  image.close();
  return canvas.getImageData(0, 0, width, height);
}
