/** Multi-scale structural similarity (Wang, Simoncelli and Bovik, 2003), mean of red, green and blue. */

const WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
const SIDE = 11;
const SIGMA = 1.5;
const [C1, C2] = [(0.01 * 255) ** 2, (0.03 * 255) ** 2];
const WINDOW = Array.from({ length: SIDE }, (_, i) => Math.exp(-((i - 5) ** 2) / (2 * SIGMA ** 2)));
const TOTAL = WINDOW.reduce((sum, weight) => sum + weight, 0);
const KERNEL = WINDOW.map((weight) => weight / TOTAL);

interface Plane {
  values: Float32Array;
  width: number;
  height: number;
}

/** Whether a picture is large enough for five scales. */
export function canCompare(width: number, height: number): boolean {
  return Math.min(width, height) >= (SIDE - 1) * 16 + 1;
}

/** Similarity of two pictures of four bytes a pixel, 1 if they are the same. */
export function msssim(a: Uint8ClampedArray, b: Uint8ClampedArray, width: number, height: number): number {
  const channels = [0, 1, 2].map((channel) =>
    ofPlanes(plane(a, channel, width, height), plane(b, channel, width, height)),
  );
  return channels.reduce((sum, value) => sum + value, 0) / 3;
}

function plane(pixels: Uint8ClampedArray, channel: number, width: number, height: number): Plane {
  const values = new Float32Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = pixels[4 * i + channel] as number;
  return { values, width, height };
}

function ofPlanes(a: Plane, b: Plane): number {
  let product = 1;
  let [one, other] = [a, b];
  WEIGHTS.forEach((weight, scale) => {
    const { luminance, structure } = similarity(one, other);
    const last = scale === WEIGHTS.length - 1;
    product *= Math.max(last ? luminance : structure, 0) ** weight;
    if (!last) [one, other] = [halved(one), halved(other)];
  });
  return product;
}

/** Means of contrast times structure, and of that times luminance. */
function similarity(a: Plane, b: Plane): { luminance: number; structure: number } {
  const product = (x: Plane, y: Plane): Plane => ({
    ...x,
    values: x.values.map((value, i) => value * (y.values[i] as number)),
  });
  const [ma, mb, aa, bb, ab] = [a, b, product(a, a), product(b, b), product(a, b)].map((p) => blurred(p).values) as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  let [luminance, structure] = [0, 0];
  for (let i = 0; i < ma.length; i++) {
    const [x, y] = [ma[i] as number, mb[i] as number];
    const both = (aa[i] as number) - x * x + (bb[i] as number) - y * y;
    const s = (2 * ((ab[i] as number) - x * y) + C2) / (both + C2);
    structure += s;
    luminance += (s * (2 * x * y + C1)) / (x * x + y * y + C1);
  }
  return { luminance: luminance / ma.length, structure: structure / ma.length };
}

/** Weighted by a Gaussian of 11 x 11, where all of it lies inside. */
function blurred({ values, width, height }: Plane): Plane {
  const w = width - SIDE + 1;
  const h = height - SIDE + 1;
  const rows = new Float32Array(w * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < w; x++) {
      let sum = 0;
      for (let k = 0; k < SIDE; k++) sum += (KERNEL[k] as number) * (values[y * width + x + k] as number);
      rows[y * w + x] = sum;
    }
  const out = new Float32Array(w * h);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      let sum = 0;
      for (let k = 0; k < SIDE; k++) sum += (KERNEL[k] as number) * (rows[(y + k) * w + x] as number);
      out[y * w + x] = sum;
    }
  return { values: out, width: w, height: h };
}

function halved({ values, width, height }: Plane): Plane {
  const [w, h] = [width >> 1, height >> 1];
  const out = new Float32Array(w * h);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const at = 2 * (y * width + x);
      out[y * w + x] =
        ((values[at] as number) +
          (values[at + 1] as number) +
          (values[at + width] as number) +
          (values[at + width + 1] as number)) /
        4;
    }
  return { values: out, width: w, height: h };
}
