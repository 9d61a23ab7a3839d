/** The alpha plane: lossless, rows of differences in a zlib stream (SPEC section 6.2). */

import { Damaged } from './errors.js';
import { deflate, inflate, TooLong } from './inflate.js';

const NONE = 0;
const LEFT = 1;
const UP = 2;
/** A byte of a deflate stream stands for at most so many bytes. */
const MOST_RATIO = 1032;

/**
 * The plane of an alpha box: height x width levels, 0 transparent to 255 opaque.
 * @throws Damaged without a place
 */
export async function unpackAlpha(content: Uint8Array, height: number, width: number): Promise<Uint8Array> {
  const size = height * (width + 1);
  if (content.length * MOST_RATIO < size) throw new Damaged(`the alpha box has ${content.length} bytes only`);
  const rows = await inflate(content, size, 'the alpha plane').catch((error: unknown) => {
    throw error instanceof TooLong ? new Damaged('the alpha plane is larger than the picture') : error;
  });
  if (rows.length !== size) throw new Damaged('the alpha plane ends too early');
  const plane = new Uint8Array(height * width);
  for (let y = 0; y < height; y++) unfilter(rows.subarray(y * (width + 1), (y + 1) * (width + 1)), plane, y, width);
  return plane;
}

function unfilter(row: Uint8Array, plane: Uint8Array, y: number, width: number): void {
  const filter = row[0] as number;
  if (filter > UP) throw new Damaged(`a row of the alpha plane has the unknown filter ${filter}`);
  const at = y * width;
  for (let x = 0; x < width; x++) {
    const before = filter === LEFT && x ? plane[at + x - 1] : filter === UP && y ? plane[at + x - width] : 0;
    plane[at + x] = (row[x + 1] as number) + (before as number);
  }
}

/** The content of an alpha box; for each row the filter with the smallest differences. */
export async function packAlpha(plane: Uint8Array, height: number, width: number): Promise<Uint8Array> {
  const rows = new Uint8Array(height * (width + 1));
  for (let y = 0; y < height; y++) {
    const candidates = [NONE, LEFT, UP].map((filter) => filtered(plane, y, width, filter));
    const costs = candidates.map((row) => row.subarray(1).reduce((sum, d) => sum + Math.min(d, 256 - d), 0));
    rows.set(candidates[costs.indexOf(Math.min(...costs))] as Uint8Array, y * (width + 1));
  }
  return deflate(rows);
}

function filtered(plane: Uint8Array, y: number, width: number, filter: number): Uint8Array {
  const row = new Uint8Array(width + 1);
  row[0] = filter;
  const at = y * width;
  for (let x = 0; x < width; x++) {
    const before = filter === LEFT && x ? plane[at + x - 1] : filter === UP && y ? plane[at + x - width] : 0;
    row[x + 1] = (plane[at + x] as number) - (before as number);
  }
  return row;
}
