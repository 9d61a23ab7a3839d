/**
 * The arrays of one layer of a context model, checked and laid out for the wasm module. In the file all layers are
 * of the same widths; channels at the end of a layer's from which only weights of 0 lead on are left out.
 */

import { type ContextPlan, KINDS, type LayerPlan, refused } from './context.js';
import type { Wasm } from './wasm.js';

const MOST_SUM = 2 ** 24 - 1;
const MOST_STATE = 255;
const CODE = 64;
const MOST_Q = 352;

/** Panels and biases of one pass; `row`: numbers that the sums of section 7.4.2.2 run over. */
export interface Pass {
  row: number;
  V: number;
  v: number;
  W: number;
  w: number;
  R: number;
  r: number;
  /** Places of the group's own codes that may be known. */
  taps: number;
  count: number;
}

type Shape = [blocks: number, rows: number, columns: number];

export class ContextWeights {
  readonly plan: LayerPlan;
  /** The arrays as they are in the file; Q is used from here. */
  private readonly raw: number;
  /** floor(C / 2) integers, aligned. */
  readonly q: number;
  /** Channels that count: of the state of the layer before, and hidden ones. */
  readonly before: number;
  readonly hidden: number;
  private readonly view: DataView;
  private made = new Map<string, number>();
  private passes = new Map<number, Pass>();

  /**
   * @param layer from 0
   * @param data the layer's arrays
   * @throws Damaged they break section 7.5 or 7.6
   */
  constructor(
    private readonly wasm: Wasm,
    private readonly model: ContextPlan,
    layer: number,
    data: Uint8Array,
  ) {
    this.plan = model.layers[layer] as LayerPlan;
    if (data.length !== this.plan.bytes) throw refused(`layer ${layer + 1} has ${data.length} bytes`);
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.raw = wasm.put(data);
    const q = Int32Array.from(this.integers(this.plan.q, this.plan.codes >> 1));
    if (q.some((value) => Math.abs(value) > MOST_Q)) throw refused(`layer ${layer + 1}: q is beyond ${MOST_Q}`);
    this.q = wasm.put(q.length ? q : new Int32Array(1));
    this.check(layer + 1);
    const { states: K, hidden: M } = this.model;
    const passes = this.plan.groups.flatMap(({ start, stop, passes }) =>
      passes.map((pass) => ({ ...pass, wide: stop - start })),
    );
    this.before = Math.max(this.width(this.plan.U, 9, K, M), this.width(this.plan.B, 1, K, K));
    this.hidden = Math.max(
      ...passes.map(({ W, R, wide }) => Math.max(this.width(W, 1, M, M), this.width(R, 1, M, wide))),
    );
  }

  /** Rows, of each of some blocks, up to the last one that is not all 0; one at least. */
  private width(at: number, blocks: number, rows: number, columns: number): number {
    const values = this.shorts(at, blocks * rows * columns);
    let width = 1;
    for (let block = 0; block < blocks; block++) {
      const end = (block + 1) * rows * columns;
      for (let i = end; i > end - (rows - width) * columns; i--)
        if (values[i - 1]) {
          width = Math.ceil(i / columns) - block * rows;
          break;
        }
    }
    return width;
  }

  private shorts(at: number, n: number): Int16Array {
    const { buffer, byteOffset } = this.wasm.bytes(this.raw + at, 2 * n);
    return new Int16Array(buffer, byteOffset, n);
  }

  /** Row of Q. */
  Q(row: number): number {
    return this.raw + this.plan.Q + 2 * row * this.plan.codes;
  }

  get U(): number {
    const { states: K, hidden: M } = this.model;
    return this.panels('U', this.plan.U, [9, K, M], this.before, this.hidden, 1);
  }

  /** `after`: channels of the state that the next layer looks at; here and below. */
  A(after: number): number {
    return this.panels('A', this.plan.A, [1, 9 * this.plan.codes, this.model.states], 9 * this.plan.codes, after, CODE);
  }

  B(after: number): number {
    const { states: K } = this.model;
    return this.panels('B', this.plan.B, [1, K, K], this.before, after, 1);
  }

  a(after: number): number {
    return this.bias('a', this.plan.a, after);
  }

  pass(group: number, phase: number): Pass {
    const key = group * 8 + phase;
    let pass = this.passes.get(key);
    if (!pass) this.passes.set(key, (pass = this.prepare(group, phase)));
    return pass;
  }

  /** Rows of V: of all nine places for the groups before, of the known places for the group itself. */
  private prepare(group: number, phase: number): Pass {
    const { wasm, plan, hidden } = this;
    const M = this.model.hidden;
    const { start, stop, passes } = plan.groups[group] as LayerPlan['groups'][0];
    const { known, ...at } = passes[phase] as LayerPlan['groups'][0]['passes'][0];
    const taps = (KINDS[plan.phases]?.[phase] as number[][][]).flat();
    const wide = stop - start;
    const row = 9 * start + taps.length * wide;
    const V = wasm.take(4 * 8 * Math.ceil(hidden / 8) * row);
    const narrow = this.narrowed(at.V, [1, 9 * known, M], 9 * known, hidden);
    const put = (tap: number, from: number, count: number, first: number): number =>
      wasm.call.pack_shorts(narrow + 2 * (tap * known + from) * hidden, V, count, hidden, first, row, CODE);
    for (let tap = 0; tap < 9 && start; tap++) put(tap, 0, start, tap * start);
    taps.forEach(([dy, dx], i) =>
      put(((dy as number) + 1) * 3 + (dx as number) + 1, start, wide, 9 * start + i * wide),
    );
    wasm.give(narrow);
    const name = `${group} ${phase} `;
    return {
      row,
      V,
      v: this.bias(`${name}v`, at.v, hidden),
      W: this.panels(`${name}W`, at.W, [1, M, M], hidden, hidden, 1),
      w: this.bias(`${name}w`, at.w, hidden),
      R: this.panels(`${name}R`, at.R, [1, M, wide], hidden, wide, 1),
      r: this.bias(`${name}r`, at.r, wide),
      taps: wasm.put(Int8Array.from(taps.flat().concat(0))),
      count: taps.length,
    };
  }

  /** The first rows and columns of each block of an array (blocks, rows, columns), as panels of all these rows. */
  private panels(name: string, at: number, shape: Shape, rows: number, columns: number, scale: number): number {
    let place = this.made.get(name);
    if (place === undefined) {
      const deep = shape[0] * rows;
      place = this.wasm.take(4 * 8 * Math.ceil(columns / 8) * deep);
      const narrow = this.narrowed(at, shape, rows, columns);
      this.wasm.call.pack_shorts(narrow, place, deep, columns, 0, deep, scale);
      this.wasm.give(narrow);
      this.made.set(name, place);
    }
    return place;
  }

  /** The same as int16, one after the other. To be given back. */
  private narrowed(at: number, [blocks, all, wide]: Shape, rows: number, columns: number): number {
    const place = this.wasm.take(2 * blocks * rows * columns);
    const from = this.shorts(at, blocks * all * wide);
    const to = this.shorts(place - this.raw, blocks * rows * columns);
    for (let row = 0; row < blocks * rows; row++) {
      const start = (Math.floor(row / rows) * all + (row % rows)) * wide;
      to.set(from.subarray(start, start + columns), row * columns);
    }
    return place;
  }

  private bias(name: string, at: number, n: number): number {
    let place = this.made.get(name);
    if (place === undefined) {
      const padded = new Float32Array(8 * Math.ceil(n / 8));
      padded.set(this.integers(at, n));
      this.made.set(name, (place = this.wasm.put(padded)));
    }
    return place;
  }

  private integers(at: number, n: number): number[] {
    return Array.from({ length: n }, (_, i) => this.view.getInt32(at + 4 * i, true));
  }

  /** Section 7.5: no sum can leave what floats hold exactly. */
  private check(layer: number): void {
    const { plan, model } = this;
    const { states: K, hidden: M } = model;
    const U = this.magnitudes(plan.U, 9 * K, M, MOST_STATE);
    for (const { start, stop, passes } of plan.groups)
      for (const pass of passes) {
        const wide = stop - start;
        this.bound(layer, pass.v, M, U, this.magnitudes(pass.V, 9 * pass.known, M, CODE));
        this.bound(layer, pass.w, M, this.magnitudes(pass.W, M, M, MOST_STATE));
        const own = this.ownMagnitudes().subarray(start, stop);
        this.bound(layer, pass.r, wide, this.magnitudes(pass.R, M, wide, MOST_STATE), own);
      }
    const A = this.magnitudes(plan.A, 9 * plan.codes, K, CODE);
    this.bound(layer, plan.a, K, A, this.magnitudes(plan.B, K, K, MOST_STATE));
  }

  private bound(layer: number, bias: number, n: number, ...parts: Float64Array[]): void {
    for (let j = 0; j < n; j++) {
      const sum = parts.reduce(
        (total, part) => total + (part[j] as number),
        Math.abs(this.view.getInt32(bias + 4 * j, true)),
      );
      if (sum > MOST_SUM) throw refused(`layer ${layer}: a sum can reach ${sum}`);
    }
  }

  private magnitudes(at: number, rows: number, columns: number, scale: number): Float64Array {
    const place = this.wasm.zeros(8 * columns);
    this.wasm.call.add_magnitudes(this.raw + at, rows, columns, scale, place);
    const sums = this.wasm.doubles(place, columns).slice();
    this.wasm.give(place);
    return sums;
  }

  private ownMagnitudes(): Float64Array {
    const { Q, codes, rows } = this.plan;
    const before = this.magnitudes(Q, 2, codes, CODE);
    const near = this.magnitudes(Q + 4 * codes, rows - 2, codes, 4 * CODE);
    return before.map((sum, j) => sum + (near[j] as number));
  }
}
