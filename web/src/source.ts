/** What files are read from, as pieces of bytes. */

import { checkSignal } from './checks.js';
import { InvalidInput } from './errors.js';

/** Whole files, and streams of them. Null, the body of a reply that has none, is refused. */
export type Data = ArrayBuffer | ArrayBufferView | Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array> | null;

/**
 * Pieces of bytes, until the signal aborts, also while the source has none; then it is told to end.
 * @throws InvalidInput it is nothing that holds bytes, or the signal is none; streams are not locked then
 */
export function piecesOf(data: Data, signal?: AbortSignal): AsyncIterableIterator<Uint8Array, void> {
  checkSignal(signal);
  const source = sourceOf(data);
  const end = async (): Promise<void> => {
    await source.return?.();
  };
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      try {
        const { value, done } = await unlessAborted(() => source.next(), signal);
        if (done) return { value: undefined, done };
        if (value instanceof Uint8Array) return { value, done: false };
        throw new InvalidInput(`data must come in pieces of the type Uint8Array, got ${typeof value}`);
      } catch (error) {
        end().catch(() => undefined); // who awaits pieces calls `return` only where it stops itself
        throw error;
      }
    },
    async return() {
      await end();
      return { value: undefined, done: true };
    },
  };
}

function sourceOf(data: Data): AsyncIterator<unknown> {
  if (data instanceof ArrayBuffer) return one(new Uint8Array(data));
  if (ArrayBuffer.isView(data)) return one(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  if (data instanceof Blob) return sourceOf(data.stream());
  if (typeof (data as ReadableStream)?.getReader === 'function') return streamed(data as ReadableStream<Uint8Array>);
  if (typeof (data as AsyncIterable<Uint8Array>)?.[Symbol.asyncIterator] === 'function')
    return (data as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  throw new InvalidInput('data must be an ArrayBuffer, a view of one, a Blob, or a stream of bytes');
}

async function* one(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data;
}

/** Not all browsers can iterate over streams; and a generator could not end while it waits for a piece. */
function streamed(stream: ReadableStream<Uint8Array>): AsyncIterator<unknown> {
  const reader = stream.getReader();
  return {
    next: () => reader.read() as Promise<IteratorResult<Uint8Array>>,
    async return() {
      await reader.cancel().catch(() => undefined);
      return { value: undefined, done: true };
    },
  };
}

/** What `begin` gives, unless the signal aborts before. */
export async function unlessAborted<T>(begin: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return begin();
  signal.throwIfAborted();
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([begin(), aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
