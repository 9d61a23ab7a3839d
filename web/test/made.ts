/**
 * A model made by arithmetic: the linear path's functions are cosines, the networks add nothing, and the
 * context model knows how often something is told. It codes real pictures, as well as such a thing can.
 */

import fs from 'node:fs';
import path from 'node:path';

import { ENTRIES, joinContext } from '../src/context.js';
import { packArrays } from '../src/weights.js';
import { digestOf } from '../src/packmodel.js';

const LUMA = 66;
const CHROMA = 15;
const PAIRS = LUMA + 2 * CHROMA;
const LAYERS = 8;
/** From layer to layer. */
const GAIN = 1.7;
const [STATES, HIDDEN, PHASES, GROUPS] = [8, 8, 4, 2];

interface Filled {
  shape: number[];
  values: Float32Array;
}

const zeros = (...shape: number[]): Filled => ({ shape, values: new Float32Array(shape.reduce((a, b) => a * b, 1)) });

/** (rows of) orthonormal functions of 16 x 16 x 3, and the size that their coefficients have. */
function functions(): { values: Float32Array; size: number }[] {
  const order = Array.from({ length: 256 }, (_, i) => [i >> 4, i & 15] as [number, number]);
  order.sort(([a, b], [c, d]) => a + b - c - d || a - c);
  const planes: [number, number, number, number][] = [
    [0.577, 0.577, 0.577, LUMA],
    [0.707, 0, -0.707, CHROMA],
    [-0.408, 0.816, -0.408, CHROMA],
  ];
  const wave = (f: number, x: number): number => Math.cos((Math.PI * f * (x + 0.5)) / 16) * Math.sqrt((f ? 2 : 1) / 16);
  const found = planes.map(([r, g, b, count], plane) =>
    order.slice(0, count).map(([v, u]) => {
      const values = new Float32Array(768);
      for (let y = 0; y < 16; y++)
        for (let x = 0; x < 16; x++)
          values.set(
            [r, g, b].map((c) => c * wave(v, y) * wave(u, x)),
            3 * (16 * y + x),
          );
      return { values, size: ((plane ? 5 : 14) * (u + v ? 0.35 : 1)) / (u + v || 1) };
    }),
  );
  // The three means come first: each has digits of its own.
  return [...found.map((list) => list[0]), ...found.flatMap((list) => list.slice(1))] as {
    values: Float32Array;
    size: number;
  }[];
}

function context(codes: number[]): Uint8Array {
  const head = new DataView(new ArrayBuffer(16 + 6 * codes.length + 2 * ENTRIES));
  [0x89, 0x52, 0x47, 0x52, 0x55, 0x43, 0x4d, 0x0a, 1, codes.length].forEach((byte, i) => head.setUint8(i, byte));
  [STATES, HIDDEN, ENTRIES].forEach((n, i) => head.setUint16(10 + 2 * i, n, true));
  codes.forEach((C, t) => [C, GROUPS, PHASES].forEach((n, i) => head.setUint16(16 + 6 * t + 2 * i, n, true)));
  const table = 16 + 6 * codes.length;
  for (let i = 0; i < ENTRIES; i++) {
    const k = Math.round(65536 / (1 + Math.exp(-(i - 176) / 16)));
    head.setUint16(table + 2 * i, Math.min(65535, Math.max(1, k)), true);
  }
  return joinContext(new Uint8Array(head.buffer), codes.map(contextLayer));
}

/** Arrays that are 0, but for the logits: most codes are -1. */
function contextLayer(C: number): Uint8Array {
  const [K, M, bytes] = [STATES, HIDDEN, [] as number[]];
  const zero = (n: number): void => void bytes.push(...Array<number>(n).fill(0));
  zero(2 * 9 * K * M);
  for (let group = 0, start = 0; group < GROUPS; group++) {
    const wide = Math.floor(C / GROUPS) + (group < C % GROUPS ? 1 : 0);
    for (let phase = 0; phase < PHASES; phase++) {
      zero(2 * 9 * (phase ? start + wide : start) * M + 4 * M + 2 * M * M + 4 * M + 2 * M * wide);
      bytes.push(...new Uint8Array(Int32Array.from({ length: wide }, () => -22 * 1024).buffer));
    }
    start += wide;
  }
  zero(2 * 9 * C * K + 2 * K * K + 4 * K + 2 * 10 * C + 4 * (C >> 1));
  return Uint8Array.from(bytes);
}

/** Write the package below a folder; returns its id. */
export function makeModel(folder: string): string {
  const codes = Array.from({ length: LAYERS }, (_, t) => Math.min(2 * PAIRS, 48 + 24 * t));
  const table = {
    name: 'cosines',
    codes,
    decoder: [{ kind: 'rnn', depth: 8 }],
    painter: [
      { kind: 'conv', depth: 12 },
      { kind: 'depth_to_space', factor: 2 },
      { kind: 'conv', depth: 192 },
      { kind: 'depth_to_space', factor: 8 },
    ],
  };
  const C = Math.max(...codes);
  const P = C / 2;
  const basis = functions().slice(0, P);
  const synthesis = zeros(P, 768);
  const analysis = zeros(16, 16, 3, P);
  basis.forEach(({ values, size }, j) =>
    values.forEach((value, i) => {
      synthesis.values[768 * j + i] = value * size;
      analysis.values[P * i + j] = value / size;
    }),
  );
  const rnn = (name: string, from: number, n: number): Record<string, Filled> => ({
    [`${name}/W/pointwise`]: zeros(from, 3 * n),
    [`${name}/W/bias`]: zeros(3 * n),
    [`${name}/U_gates/depthwise`]: zeros(3, 3, n),
    [`${name}/U_gates/pointwise`]: zeros(n, 2 * n),
    [`${name}/U/depthwise`]: zeros(3, 3, n),
    [`${name}/U/pointwise`]: zeros(n, n),
    [`${name}/W_h/pointwise`]: zeros(n, n),
    [`${name}/W_ox/pointwise`]: zeros(from, n),
  });
  const gains = { shape: [LAYERS], values: Float32Array.from(codes, (_, t) => GAIN ** t) };
  const files = new Map<string, Uint8Array>([
    ['model.json', new TextEncoder().encode(JSON.stringify(table))],
    [
      'decoder.safetensors',
      packArrays({
        ...rnn('D/rnn0', C, 8),
        'P/conv0/kernel': zeros(1, 1, 8 + P, 12),
        'P/conv0/bias': zeros(12),
        'P/conv2/kernel': zeros(1, 1, 3, 192),
        'P/conv2/bias': zeros(192),
        gains,
        'L/steps/kernel': zeros(8, P),
        'L/steps/bias': zeros(P),
        'L/synthesis': synthesis,
      }),
    ],
    ['context.bin', context(codes)],
  ]);
  const digest = digestOf(files);
  const id = digest.slice(0, 8);
  const encoder = {
    encoder: [
      { kind: 'conv', depth: 4, kernel: 8, stride: 8 },
      { kind: 'conv', depth: 4, kernel: 2, stride: 2 },
    ],
    digits: [[1], [1], [1]],
    threshold: 0.6,
  };
  const words = { name: 'default', version: '1', model: digest, table: JSON.stringify(encoder) };
  const arrays = {
    'E/conv0/kernel': zeros(8, 8, 3, 4),
    'E/conv0/bias': zeros(4),
    'E/conv1/kernel': zeros(2, 2, 4, 4),
    'E/conv1/bias': zeros(4),
    'L/analysis': analysis,
    'L/fineness/kernel': zeros(8, P),
    'L/fineness/bias': zeros(P),
    'L/thresholds/kernel': zeros(8, C),
    'L/thresholds/bias': zeros(C),
    'B/kernel': zeros(4, C),
    'B/bias': zeros(C),
  };
  files.set('encoder.safetensors', packArrays(arrays, words));
  const place = path.join(folder, id);
  fs.mkdirSync(place, { recursive: true });
  for (const [name, data] of files) fs.writeFileSync(path.join(place, name), data);
  fs.writeFileSync(path.join(folder, 'default'), `${id}\n`);
  return id;
}

/** A picture made by arithmetic: (r, g, b, 255) of soft shapes and an edge. */
export function madePicture(width: number, height: number): { width: number; height: number; data: Uint8ClampedArray } {
  const data = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [u, v] = [x / width, y / height];
      const disc = (u - 0.6) ** 2 + (v - 0.4) ** 2 < 0.06 ? 60 : 0;
      const wave = 25 * Math.sin(18 * u + 9 * v);
      data.set([200 * u + disc + wave, 180 * v + wave, 230 - 150 * u * v - disc, 255], 4 * (y * width + x));
    }
  return { width, height, data };
}
