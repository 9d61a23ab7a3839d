/** The arrays of one layer of a context model, checked and laid out for the wasm module. */

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

export class ContextWeights {
  readonly plan: LayerPlan;
  /** The arrays as they are in the file; Q is used from here. */
  private readonly raw: number;
  /** floor(C / 2) integers, aligned. */
  readonly q: number;
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
  }

  /** Row of Q. */
  Q(row: number): number {
    return this.raw + this.plan.Q + 2 * row * this.plan.codes;
  }

  get U(): number {
    return this.panels('U', this.plan.U, 9 * this.model.states, this.model.hidden, 1);
  }

  get A(): number {
    return this.panels('A', this.plan.A, 9 * this.plan.codes, this.model.states, CODE);
  }

  get B(): number {
    return this.panels('B', this.plan.B, this.model.states, this.model.states, 1);
  }

  get a(): number {
    return this.bias('a', this.plan.a, this.model.states);
  }

  pass(group: number, phase: number): Pass {
    const key = group * 8 + phase;
    let pass = this.passes.get(key);
    if (!pass) this.passes.set(key, (pass = this.prepare(group, phase)));
    return pass;
  }

  /** Rows of V: of all nine places for the groups before, of the known places for the group itself. */
  private prepare(group: number, phase: number): Pass {
    const { wasm, plan } = this;
    const M = this.model.hidden;
    const { start, stop, passes } = plan.groups[group] as LayerPlan['groups'][0];
    const { known, ...at } = passes[phase] as LayerPlan['groups'][0]['passes'][0];
    const taps = (KINDS[plan.phases]?.[phase] as number[][][]).flat();
    const wide = stop - start;
    const row = 9 * start + taps.length * wide;
    const V = wasm.take(4 * 8 * Math.ceil(M / 8) * row);
    const put = (tap: number, from: number, count: number, first: number): number =>
      wasm.call.pack_shorts(this.raw + at.V + 2 * (tap * known + from) * M, V, count, M, first, row, CODE);
    for (let tap = 0; tap < 9 && start; tap++) put(tap, 0, start, tap * start);
    taps.forEach(([dy, dx], i) =>
      put(((dy as number) + 1) * 3 + (dx as number) + 1, start, wide, 9 * start + i * wide),
    );
    const name = `${group} ${phase} `;
    return {
      row,
      V,
      v: this.bias(`${name}v`, at.v, M),
      W: this.panels(`${name}W`, at.W, M, M, 1),
      w: this.bias(`${name}w`, at.w, M),
      R: this.panels(`${name}R`, at.R, M, wide, 1),
      r: this.bias(`${name}r`, at.r, wide),
      taps: wasm.put(Int8Array.from(taps.flat().concat(0))),
      count: taps.length,
    };
  }

  private panels(name: string, at: number, rows: number, columns: number, scale: number): number {
    let place = this.made.get(name);
    if (place === undefined) {
      place = this.wasm.take(4 * 8 * Math.ceil(columns / 8) * rows);
      this.wasm.call.pack_shorts(this.raw + at, place, rows, columns, 0, rows, scale);
      this.made.set(name, place);
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
