/** zlib streams (RFC 1950), never expanded beyond a bound. The platform does the work. */

import { joined } from './container.js';
import { Damaged } from './errors.js';

/** Raised where a stream holds more than was asked for. */
export class TooLong extends Error {}

/** Pieces of what a zlib stream holds, `most` bytes at most. */
async function* inflated(data: Uint8Array, most: number): AsyncGenerator<Uint8Array> {
  const stream = new Blob([data as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream('deflate'));
  const reader = stream.getReader();
  let total = 0;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      total += value.length;
      if (total > most) throw new TooLong(`more than ${most} bytes`);
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/**
 * What a zlib stream holds.
 * @throws TooLong it is more than `most` bytes
 * @throws Damaged the stream is broken, cut, or followed by something
 */
export async function inflate(data: Uint8Array, most: number, what: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  try {
    for await (const part of inflated(data, most)) parts.push(part);
  } catch (error) {
    if (error instanceof TooLong) throw error;
    throw new Damaged(`${what} cannot be inflated: ${(error as Error).message}`);
  }
  // A stream that is whole without its last byte did not end there.
  if (!(await refusesMore()) && (await isWhole(data.subarray(0, -1), most))) throw new Damaged(`bytes follow ${what}`);
  return joined(parts);
}

async function isWhole(data: Uint8Array, most: number): Promise<boolean> {
  try {
    for await (const _ of inflated(data, most));
    return true;
  } catch {
    return false;
  }
}

let asked: Promise<boolean> | undefined;

/** Whether the platform refuses streams that something follows, as its standard says; older ones do not. */
function refusesMore(): Promise<boolean> {
  asked ??= isWhole(Uint8Array.of(0x78, 0x9c, 3, 0, 0, 0, 0, 1, 0), 1).then((whole) => !whole);
  return asked;
}

/** A zlib stream of some bytes. */
export async function deflate(data: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([data as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
