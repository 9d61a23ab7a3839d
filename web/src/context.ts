/**
 * The context model as a file (SPEC section 7.6), in parts: what stands in front of the arrays, and
 * the arrays of each layer. A file of three layers takes the first three only.
 */

import { joined } from './container.js';
import { Damaged } from './errors.js';
import { MOST_CODES, MOST_GROUPS, MOST_LAYERS } from './limits.js';

export const ENTRIES = 353;
const SIGNATURE = Uint8Array.of(0x89, 0x52, 0x47, 0x52, 0x55, 0x43, 0x4d, 0x0a);
const LAYOUT = 1;
const FIXED = 16;
const MOST_CHANNELS = 1024;

/** Kinds of neighbours, as places (dy, dx). */
const EDGES = [
  [-1, 0],
  [0, -1],
  [0, 1],
  [1, 0],
];
const CORNERS = [
  [-1, -1],
  [-1, 1],
  [1, -1],
  [1, 1],
];
/** Kinds that a phase knows, by the number of phases; in phase 1 of five they are twice as far. */
export const KINDS: Record<number, number[][][][]> = {
  2: [[], [EDGES]],
  4: [[], [CORNERS], [EDGES], [EDGES, CORNERS]],
  5: [[], [EDGES], [CORNERS], [EDGES], [EDGES, CORNERS]],
};
/** Phase of a position, by row and column. */
const ORDER: Record<number, number[][]> = {
  2: [
    [0, 1],
    [1, 0],
  ],
  4: [
    [0, 2],
    [3, 1],
  ],
  5: [
    [0, 3, 1, 3],
    [4, 2, 4, 2],
    [1, 3, 0, 3],
    [4, 2, 4, 2],
  ],
};

export function spacingOf(phases: number, phase: number): number {
  return phases === 5 && phase === 1 ? 2 : 1;
}

/** Numbers of the positions of each phase, in raster order. */
export function positionsOf(phases: number, rows: number, columns: number): Int32Array[] {
  const order = ORDER[phases] as number[][];
  const side = order.length;
  const lists: number[][] = Array.from({ length: phases }, () => []);
  for (let y = 0; y < rows; y++)
    for (let x = 0; x < columns; x++) lists[order[y % side]?.[x % side] as number]?.push(y * columns + x);
  return lists.map((list) => Int32Array.from(list));
}

/** Offsets, in bytes from the start of a layer's arrays, and sizes of one layer. */
export interface LayerPlan {
  codes: number;
  phases: number;
  groups: { start: number; stop: number; passes: PassPlan[] }[];
  U: number;
  A: number;
  B: number;
  a: number;
  Q: number;
  q: number;
  rows: number;
  bytes: number;
}

/** Offsets of one pass (7.4); c has `known` channels. */
export interface PassPlan {
  known: number;
  V: number;
  v: number;
  W: number;
  w: number;
  R: number;
  r: number;
}

/** Sizes and table of a context model. */
export class ContextPlan {
  readonly layers: LayerPlan[] = [];
  /** Channels of the state (K) and hidden channels (M). */
  readonly states: number;
  readonly hidden: number;
  readonly table: Uint16Array;

  /**
   * @param head the file up to its arrays
   * @throws Damaged
   */
  constructor(head: Uint8Array) {
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
    if (head.length < FIXED || SIGNATURE.some((byte, i) => byte !== head[i])) throw refused('it has no signature');
    const layers = view.getUint8(9);
    this.states = view.getUint16(10, true);
    this.hidden = view.getUint16(12, true);
    if (view.getUint8(8) !== LAYOUT) throw refused(`its layout is ${view.getUint8(8)}, not ${LAYOUT}`);
    if (layers < 1 || layers > MOST_LAYERS) throw refused(`it has ${layers} layers`);
    if ([this.states, this.hidden].some((n) => n < 1 || n > MOST_CHANNELS))
      throw refused(`it has ${this.states} states and ${this.hidden} hidden channels`);
    if (view.getUint16(14, true) !== ENTRIES) throw refused('its table has another number of entries');
    if (head.length !== headSize(layers)) throw refused('its size is not what its layers give');
    for (let t = 0; t < layers; t++) {
      const at = FIXED + 6 * t;
      const [codes, groups, phases] = [0, 2, 4].map((i) => view.getUint16(at + i, true)) as [number, number, number];
      this.layers.push(this.plan(t + 1, codes, groups, phases));
    }
    const at = headSize(layers) - 2 * ENTRIES;
    this.table = Uint16Array.from({ length: ENTRIES }, (_, i) => view.getUint16(at + 2 * i, true));
    if (this.table.some((k, i) => k < 1 || k < (this.table[i - 1] ?? 1))) throw refused('its table decreases');
  }

  private plan(layer: number, codes: number, groups: number, phases: number): LayerPlan {
    const kinds = KINDS[phases];
    if (codes < 1 || codes > MOST_CODES || groups < 1 || groups > Math.min(codes, MOST_GROUPS) || !kinds)
      throw refused(`layer ${layer} has ${codes} codes in ${groups} groups and ${phases} phases`);
    const { states: K, hidden: M } = this;
    let end = 0;
    const short = (n: number): number => (end += 2 * n) - 2 * n;
    const long = (n: number): number => (end += 4 * n) - 4 * n;
    const U = short(9 * K * M);
    let start = 0;
    const listed = Array.from({ length: groups }, (_, g) => {
      const stop = start + Math.floor(codes / groups) + (g < codes % groups ? 1 : 0);
      const [from, wide] = [start, stop - start];
      start = stop;
      const passes = kinds.map((_, phase) => {
        const known = phase ? stop : from;
        return {
          known,
          V: short(9 * known * M),
          v: long(M),
          W: short(M * M),
          w: long(M),
          R: short(M * wide),
          r: long(wide),
        };
      });
      return { start: from, stop, passes };
    });
    const rows = 2 + 2 * kinds.flat().length;
    const rest = { A: short(9 * codes * K), B: short(K * K), a: long(K), Q: short(rows * codes), q: long(codes >> 1) };
    return { codes, phases, groups: listed, U, ...rest, rows, bytes: end };
  }
}

export function refused(reason: string): Damaged {
  return new Damaged(`context model: ${reason}`);
}

/** Bytes of a file before its arrays. */
export function headSize(layers: number): number {
  return FIXED + 6 * layers + 2 * ENTRIES;
}

/**
 * A whole file in its parts.
 * @throws Damaged it breaks a rule that needs no look at the arrays
 */
export function splitContext(file: Uint8Array): { plan: ContextPlan; head: Uint8Array; layers: Uint8Array[] } {
  const head = file.subarray(0, headSize(file[9] ?? 0));
  const plan = new ContextPlan(head);
  let at = head.length;
  const layers = plan.layers.map(({ bytes }) => file.subarray(at, (at += bytes)));
  if (at + 4 !== file.length) throw refused(`it has ${file.length} bytes, not ${at + 4}`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (view.getUint32(at, true) !== crc32(file.subarray(0, at))) throw refused('its checksum does not match');
  return { plan, head, layers };
}

/** The file of which these are the parts. */
export function joinContext(head: Uint8Array, layers: Uint8Array[]): Uint8Array {
  const sum = new Uint8Array(4);
  const body = joined([head, ...layers]);
  new DataView(sum.buffer).setUint32(0, crc32(body), true);
  return joined([body, sum]);
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let register = byte;
  for (let i = 0; i < 8; i++) register = (register >>> 1) ^ (register & 1 ? 0xedb88320 : 0);
  return register >>> 0;
});

/** CRC-32 of PNG and zlib. */
export function crc32(data: Uint8Array): number {
  let register = 0xffffffff;
  for (const byte of data) register = (register >>> 8) ^ (CRC[(register ^ byte) & 255] as number);
  return ~register >>> 0;
}
