/** What files are read from, as pieces of bytes. */

import { InvalidInput } from './errors.js';

/** Whole files, and streams of them. */
export type Data = ArrayBuffer | ArrayBufferView | Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

/** @throws InvalidInput it is nothing that holds bytes */
export function piecesOf(data: Data): AsyncIterable<Uint8Array> {
  if (data instanceof ArrayBuffer) return one(new Uint8Array(data));
  if (ArrayBuffer.isView(data)) return one(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  if (data instanceof Blob) return piecesOf(data.stream());
  if (typeof (data as ReadableStream)?.getReader === 'function') return streamed(data as ReadableStream<Uint8Array>);
  if (typeof (data as AsyncIterable<Uint8Array>)?.[Symbol.asyncIterator] === 'function')
    return data as AsyncIterable<Uint8Array>;
  throw new InvalidInput('data must be an ArrayBuffer, a view of one, a Blob, or a stream of bytes');
}

async function* one(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data;
}

/** Not all browsers can iterate over streams. */
async function* streamed(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
