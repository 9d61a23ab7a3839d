/** A worker of the page: JPEGs of a number of bytes, and how similar pictures are to the original. */

import { jpegOf } from './jpeg.js';
import { msssim } from '../src/msssim.js';

export type Ask =
  | { id: number; kind: 'original'; bitmap: ImageBitmap }
  | { id: number; kind: 'jpeg'; bytes: number }
  | { id: number; kind: 'compare'; bitmap: ImageBitmap };

export interface Measured {
  id: number;
  /** Of `jpeg`: the file. */
  file?: Uint8Array<ArrayBuffer>;
  bitmap?: ImageBitmap;
  /** MS-SSIM. */
  quality?: number;
  error?: string;
}

/** Of larger pictures the middle is compared. */
const MOST_PIXELS = 1.2e6;
const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Ask>) => void;
  postMessage: (m: Measured, t?: Transferable[]) => void;
};
let canvas: OffscreenCanvas | undefined;
let original: ImageData | undefined;
let queue = Promise.resolve();

scope.onmessage = ({ data }) => {
  queue = queue
    .then(() => answer(data))
    .catch((error: Error) => scope.postMessage({ id: data.id, error: error.message }));
};

async function answer(ask: Ask): Promise<void> {
  if (ask.kind === 'original') {
    canvas = new OffscreenCanvas(ask.bitmap.width, ask.bitmap.height);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context?.drawImage(ask.bitmap, 0, 0);
    original = middle(ask.bitmap);
    scope.postMessage({ id: ask.id });
  } else if (ask.kind === 'jpeg') {
    const file = await jpegOf(canvas as OffscreenCanvas, ask.bytes);
    const bitmap = await createImageBitmap(new Blob([file], { type: 'image/jpeg' }));
    scope.postMessage({ id: ask.id, file, quality: await quality(bitmap), bitmap }, [bitmap]);
  } else {
    scope.postMessage({ id: ask.id, quality: await quality(ask.bitmap) });
    ask.bitmap.close();
  }
}

async function quality(bitmap: ImageBitmap): Promise<number> {
  const { width, height, data } = original as ImageData;
  return msssim(data, middle(bitmap).data, width, height);
}

function middle(bitmap: ImageBitmap): ImageData {
  const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const [width, height] = [Math.floor(bitmap.width * shrink), Math.floor(bitmap.height * shrink)];
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('this browser gives no canvas of that size');
  context.drawImage(bitmap, -Math.floor((bitmap.width - width) / 2), -Math.floor((bitmap.height - height) / 2));
  return context.getImageData(0, 0, width, height);
}
