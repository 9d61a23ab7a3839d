/**
 * Multi-scale structural similarity (Wang, Simoncelli and Bovik, 2003), mean of red, green and blue: as `tf.image` has it,
 * and with fewer scales for pictures of less than 161 pixels a side.
 */

import { Pace } from './pace.js';

const WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
const SIDE = 11;
const SIGMA = 1.5;
const [C1, C2] = [(0.01 * 255) ** 2, (0.03 * 255) ** 2];
const WINDOW = Array.from({ length: SIDE }, (_, i) => Math.exp(-((i - 5) ** 2) / (2 * SIGMA ** 2)));
const TOTAL = WINDOW.reduce((sum, weight) => sum + weight, 0);
const KERNEL = WINDOW.map((weight) => weight / TOTAL);

type Bytes = Uint8Array | Uint8ClampedArray;

interface Plane {
  values: Float32Array;
  width: number;
  height: number;
}

/** Similarity of two pictures of four bytes a pixel, 1 if they are the same. */
export async function msssim(a: Bytes, b: Bytes, width: number, height: number, pace = new Pace()): Promise<number> {
  let sum = 0;
  for (const channel of [0, 1, 2])
    sum += await ofPlanes(plane(a, channel, width, height), plane(b, channel, width, height), pace);
  return sum / 3;
}

/** One channel; a side of less than a window is extended by its mirror image. */
function plane(pixels: Bytes, channel: number, width: number, height: number): Plane {
  const [w, h] = [Math.max(width, SIDE), Math.max(height, SIDE)];
  const values = new Float32Array(w * h);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++)
      values[y * w + x] = pixels[4 * (mirrored(y, height) * width + mirrored(x, width)) + channel] as number;
  return { values, width: w, height: h };
}

function mirrored(at: number, side: number): number {
  const turn = at % (2 * side);
  return turn < side ? turn : 2 * side - 1 - turn;
}

/** Scales for which pictures are large enough. */
function scalesOf(width: number, height: number): number {
  let scales = 1;
  for (let side = Math.min(width, height); scales < WEIGHTS.length && Math.ceil(side / 2) >= SIDE; scales++)
    side = Math.ceil(side / 2);
  return scales;
}

async function ofPlanes(a: Plane, b: Plane, pace: Pace): Promise<number> {
  const weights = WEIGHTS.slice(0, scalesOf(a.width, a.height));
  const total = weights.length < WEIGHTS.length ? weights.reduce((sum, weight) => sum + weight, 0) : 1;
  let product = 1;
  let [one, other] = [a, b];
  for (const [scale, weight] of weights.entries()) {
    const { whole, structure } = await similarity(one, other, pace);
    const last = scale === weights.length - 1;
    product *= Math.max(last ? whole : structure, 0) ** (weight / total);
    if (!last) [one, other] = [halved(one), halved(other)];
  }
  return product;
}

/** Means over all windows: of contrast times structure, and of that times luminance. */
async function similarity(a: Plane, b: Plane, pace: Pace): Promise<{ whole: number; structure: number }> {
  const [w, h] = [a.width - SIDE + 1, a.height - SIDE + 1];
  const lines = Array.from({ length: SIDE }, () => Array.from({ length: 5 }, () => new Float32Array(w)));
  const means = Array.from({ length: 5 }, () => new Float32Array(w)) as Lines;
  const products = Array.from({ length: 5 }, () => new Float32Array(a.width)) as Lines;
  let [whole, structure] = [0, 0];
  for (let y = 0; y < a.height; y++) {
    takeRow(a, b, y, products);
    const line = lines[y % SIDE] as Float32Array[];
    products.forEach((row, i) => blur(row, line[i] as Float32Array));
    if (y < SIDE - 1) continue;
    means.forEach((mean, i) => {
      mean.fill(0);
      KERNEL.forEach((weight, k) =>
        add(mean, (lines[(y + 1 + k) % SIDE] as Float32Array[])[i] as Float32Array, weight),
      );
    });
    const found = ofRow(means);
    whole += found.whole;
    structure += found.structure;
    await pace.rest();
  }
  return { whole: whole / (w * h), structure: structure / (w * h) };
}

/** Means of a, b, a², b² and a·b. */
type Lines = [Float32Array, Float32Array, Float32Array, Float32Array, Float32Array];

function takeRow(a: Plane, b: Plane, y: number, rows: Lines): void {
  for (let x = 0; x < a.width; x++) {
    const [p, q] = [a.values[y * a.width + x] as number, b.values[y * a.width + x] as number];
    rows[0][x] = p;
    rows[1][x] = q;
    rows[2][x] = p * p;
    rows[3][x] = q * q;
    rows[4][x] = p * q;
  }
}

/** Weighted means along a row, of whole windows. */
function blur(row: Float32Array, out: Float32Array): void {
  out.fill(0);
  KERNEL.forEach((weight, k) => {
    for (let x = 0; x < out.length; x++) out[x] = (out[x] as number) + weight * (row[x + k] as number);
  });
}

function add(sum: Float32Array, row: Float32Array, weight: number): void {
  for (let x = 0; x < sum.length; x++) sum[x] = (sum[x] as number) + weight * (row[x] as number);
}

function ofRow([ma, mb, aa, bb, ab]: Lines): { whole: number; structure: number } {
  let [whole, structure] = [0, 0];
  for (let i = 0; i < ma.length; i++) {
    const [x, y] = [ma[i] as number, mb[i] as number];
    const both = (aa[i] as number) - x * x + (bb[i] as number) - y * y;
    const s = (2 * ((ab[i] as number) - x * y) + C2) / (both + C2);
    structure += s;
    whole += (s * (2 * x * y + C1)) / (x * x + y * y + C1);
  }
  return { whole, structure };
}

/** Means of 2x2 values; an odd side repeats its last line. */
function halved({ values, width, height }: Plane): Plane {
  const [w, h] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const out = new Float32Array(w * h);
  for (let y = 0; y < h; y++) {
    const up = 2 * y * width;
    const down = Math.min(2 * y + 1, height - 1) * width;
    for (let x = 0; x < w; x++) {
      const [left, right] = [2 * x, Math.min(2 * x + 1, width - 1)];
      out[y * w + x] =
        ((values[up + left] as number) +
          (values[up + right] as number) +
          (values[down + left] as number) +
          (values[down + right] as number)) /
        4;
    }
  }
  return { values: out, width: w, height: h };
}
