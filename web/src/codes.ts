/** Groups of bytes to layers of codes and back (SPEC sections 7.4 and 8). */

import { type ContextPlan, positionsOf, spacingOf } from './context.js';
import { ContextWeights, type Pass } from './contextweights.js';
import { Damaged } from './errors.js';
import { largestPayload } from './limits.js';
import type { Pace } from './pace.js';
import type { Wasm } from './wasm.js';

/** Positions that are evaluated at a time. */
const STEP = 64;
/** Positions between two pauses. */
const MANY = 2048;
/** Values of a strip of rows at a time. */
const STRIP = 2 ** 20;
const ALL = [-1, 0, 1].flatMap((dy) => [-1, 0, 1].map((dx) => [dy, dx]));

/** What codes need of an engine. */
export interface Coder {
  wasm: Wasm;
  /** The arrays of a layer, from 0, whenever they have come. */
  layer(layer: number): Promise<ContextWeights>;
  /** The range coder serves one group at a time: work that waits for those before it. */
  exclusive<T>(work: () => Promise<T>): Promise<T>;
}

interface Places {
  at: number;
  n: number;
}

/** Codes of one picture, layer by layer, decoded or encoded. */
export class Codes {
  /** Whole layers. */
  layer = 0;
  /** Groups of the layer in progress. */
  group = 0;
  private current = 0;
  private last = 0;
  private state = 0;
  private hidden = 0;
  private started = -1;
  private readonly owned: number[] = [];
  private readonly phases = new Map<number, Places[]>();
  private readonly wasm: Wasm;
  private readonly everywhere: Places;
  private readonly all: number;
  private readonly here: number;
  private readonly ks: number;

  constructor(
    private readonly plan: ContextPlan,
    private readonly coder: Coder,
    private readonly rows: number,
    private readonly columns: number,
    private readonly pace: Pace,
  ) {
    const { wasm } = coder;
    this.wasm = wasm;
    this.all = this.own(wasm.put(Int8Array.from(ALL.flat())));
    this.here = this.own(wasm.put(Int8Array.of(0, 0)));
    this.ks = this.own(wasm.take(2 * 512 * Math.max(...plan.layers.map((layer) => layer.codes))));
    this.everywhere = this.places(Int32Array.from({ length: rows * columns }, (_, i) => i));
    this.wasm.bytes(this.wasm.call.table_place(), 2 * plan.table.length).set(new Uint8Array(plan.table.buffer));
    this.wasm.call.table_is_set();
  }

  private get positions(): number {
    return this.rows * this.columns;
  }

  /** Where the codes of the last whole layer are: int8 (rows, columns, C). */
  get whole(): number {
    return this.last;
  }

  /** Codes of the last whole layer, copied. */
  wholeCodes(): Int8Array {
    return this.wasm.codes(this.last, this.positions * (this.plan.layers[this.layer - 1]?.codes ?? 0)).slice();
  }

  /** Codes of the layer in progress, 0 where they are not known, copied. */
  currentCodes(): Int8Array {
    return this.wasm.codes(this.current, this.positions * (this.plan.layers[this.layer]?.codes ?? 0)).slice();
  }

  /** Give all memory back. */
  close(): void {
    this.wasm.give(...this.owned, ...[this.current, this.last, this.state, this.hidden].filter((at) => at));
  }

  /**
   * Decode the next group in order; true if that completes its layer.
   * @param offset where it stands in the file
   * @throws Damaged
   */
  async decode(payload: Uint8Array, offset: number): Promise<boolean> {
    const layer = this.layer + 1;
    const plan = this.plan.layers[this.layer];
    if (!plan) throw new Damaged(`the model has ${this.layer} layers only`, layer, offset);
    const { start, stop } = plan.groups[this.group] as (typeof plan.groups)[0];
    if (payload.length > largestPayload(this.positions, stop - start))
      throw new Damaged('a group is longer than its codes can need', layer, offset);
    const weights = await this.begin();
    const place = this.wasm.put(payload.length ? payload : new Uint8Array(1));
    try {
      const sound = await this.coder.exclusive(() => {
        this.wasm.call.begin_reading(place, payload.length, stop - start);
        return this.code(weights, 0);
      });
      if (!sound) {
        this.forget(start, stop);
        throw new Damaged('a group of codes cannot be decoded', layer, offset);
      }
    } finally {
      this.wasm.give(place);
    }
    return this.end();
  }

  /** The payload of each group of the next layer. `codes`: int8 (rows, columns, C), each -1 or +1. */
  async encode(codes: number): Promise<Uint8Array[]> {
    const weights = await this.begin();
    const payloads: Uint8Array[] = [];
    for (const { start, stop } of weights.plan.groups) {
      const place = this.wasm.take(largestPayload(this.positions, stop - start) + 16);
      try {
        await this.coder.exclusive(async () => {
          this.wasm.call.begin_writing(place, stop - start);
          await this.code(weights, codes);
          payloads.push(this.wasm.bytes(place, this.wasm.call.finish_writing()).slice());
        });
      } finally {
        this.wasm.give(place);
      }
      this.end();
    }
    return payloads;
  }

  /** The layer in progress with what is expected where codes are missing (8.5): int32, in 32768ths. To be given back. */
  async expectation(): Promise<number> {
    const weights = await this.begin();
    const { plan, q } = weights;
    const place = this.wasm.take(4 * this.positions * plan.codes);
    this.wasm.call.expectation_of_codes(this.current, place, this.positions * plan.codes);
    for (let group = this.group; group < plan.groups.length; group++) {
      const { start, stop } = plan.groups[group] as (typeof plan.groups)[0];
      const logits = await this.logits(weights, group, 0, this.everywhere);
      const table = this.wasm.call.table_place();
      this.wasm.call.expect(logits, this.positions, start, stop, this.current, plan.codes, q, table, place);
      this.wasm.give(logits);
    }
    return place;
  }

  private own(at: number): number {
    this.owned.push(at);
    return at;
  }

  private places(list: Int32Array): Places {
    return { at: this.own(this.wasm.put(list.length ? list : new Int32Array(1))), n: list.length };
  }

  private phasesOf(phases: number): Places[] {
    let lists = this.phases.get(phases);
    if (!lists) {
      lists = positionsOf(phases, this.rows, this.columns).map((list) => this.places(list));
      this.phases.set(phases, lists);
    }
    return lists;
  }

  /** Prepare the layer in progress: state and hidden sums of the layers before it. */
  private async begin(): Promise<ContextWeights> {
    const weights = await this.coder.layer(this.layer);
    if (this.started === this.layer) return weights;
    if (this.layer) await this.renewState(await this.coder.layer(this.layer - 1), weights);
    this.current = this.wasm.zeros(this.positions * weights.plan.codes);
    this.started = this.layer;
    return weights;
  }

  /** s = requant(conv3(c; A) + conv1(s; B) + a), and u = conv3(s; U) of the next layer. */
  private async renewState(before: ContextWeights, next: ContextWeights): Promise<void> {
    const { wasm, rows, columns, plan } = this;
    const { before: K, hidden: M } = next;
    const C = before.plan.codes;
    const [A, B, a] = [before.A(K), before.B(K), before.a(K)];
    const state = wasm.take(this.positions * K);
    await this.strips(Math.max(C, plan.states), (strip, sums, y0, y1) => {
      const n = y1 - y0;
      const line = (columns + 2) * C;
      wasm.call.strip_of_codes(this.last, rows, columns, C, y0, y1, strip);
      wasm.call.product(n, line, columns, C, 3, 3 * C, line, strip, A, 9 * C, a, sums, K, K, 0, 0);
      if (this.state) {
        const old = before.before;
        wasm.call.strip_of_state(this.state, rows, columns, old, y0, y1, 0, strip);
        wasm.call.product(n, columns * old, columns, old, 1, old, 0, strip, B, old, 0, sums, K, K, 1, 0);
      }
      wasm.call.requantize(sums, n * columns * K);
      wasm.call.bytes_of_floats(sums, state + y0 * columns * K, n * columns * K);
    });
    if (this.state) wasm.give(this.state);
    this.state = state;
    this.hidden ||= wasm.take(4 * this.positions * plan.hidden);
    await this.strips(K, (strip, _, y0, y1) => {
      const line = (columns + 2) * K;
      wasm.call.strip_of_state(state, rows, columns, K, y0, y1, 1, strip);
      const out = this.hidden + 4 * y0 * columns * M;
      wasm.call.product(y1 - y0, line, columns, K, 3, 3 * K, line, strip, next.U, 9 * K, 0, out, M, M, 0, 0);
    });
  }

  private async strips(
    channels: number,
    work: (strip: number, sums: number, y0: number, y1: number) => void,
  ): Promise<void> {
    const { wasm, rows, columns, plan } = this;
    const step = Math.min(rows, Math.max(1, Math.floor(STRIP / ((columns + 2) * channels))));
    const strip = wasm.take(4 * (step + 2) * (columns + 2) * channels);
    const sums = wasm.take(4 * step * columns * plan.states);
    try {
      for (let y = 0; y < rows; y += step) {
        work(strip, sums, y, Math.min(rows, y + step));
        await this.pace.rest();
      }
    } finally {
      wasm.give(strip, sums);
    }
  }

  /** All phases of the group in progress; false if the stream is damaged. `source`: codes to write, or 0. */
  private async code(weights: ContextWeights, source: number): Promise<boolean> {
    const { plan, q } = weights;
    const { start, stop } = plan.groups[this.group] as (typeof plan.groups)[0];
    const phases = this.phasesOf(plan.phases);
    for (const [phase, where] of phases.entries()) {
      if (!where.n) continue;
      const logits = await this.logits(weights, this.group, phase, where);
      const { call } = this.wasm;
      const bad = call.code_phase(logits, where.at, where.n, start, stop, this.current, plan.codes, q, source, this.ks);
      this.wasm.give(logits);
      if (bad) return false;
    }
    return true;
  }

  /** Steps 2.1 to 2.5 of a pass: int16 (positions, channels of the group). To be given back. */
  private async logits(weights: ContextWeights, group: number, phase: number, where: Places): Promise<number> {
    const { wasm } = this;
    const { start, stop } = weights.plan.groups[group] as { start: number; stop: number };
    const wide = stop - start;
    const pass = weights.pass(group, phase);
    const logits = wasm.take(2 * where.n * wide);
    const places = [pass.row, weights.hidden, weights.hidden, wide].map((n) => wasm.take(4 * STEP * n));
    try {
      for (let at = 0; at < where.n; at += STEP) {
        const n = Math.min(STEP, where.n - at);
        const z = this.evaluate(weights, pass, group, phase, where.at + 4 * at, n, places);
        wasm.call.logits_of(z, logits + 2 * at * wide, n * wide);
        if (at % MANY === 0) await this.pace.rest();
      }
    } catch (error) {
      wasm.give(logits);
      throw error;
    } finally {
      wasm.give(...places);
    }
    return logits;
  }

  private evaluate(
    weights: ContextWeights,
    pass: Pass,
    group: number,
    phase: number,
    positions: number,
    n: number,
    places: number[],
  ): number {
    const {
      wasm: { call },
      rows,
      columns,
    } = this;
    const M = weights.hidden;
    const { codes: C, phases, groups } = weights.plan;
    const { start, stop } = groups[group] as { start: number; stop: number };
    const wide = stop - start;
    const [row, h1, h2, z] = places as [number, number, number, number];
    const apart = spacingOf(phases, phase);
    call.begin_sums(this.layer ? this.hidden : 0, M, positions, n, pass.v, h1);
    if (pass.row) {
      call.gather(this.current, rows, columns, C, 0, start, positions, n, this.all, 9, apart, row, pass.row);
      const own = row + 4 * 9 * start;
      call.gather(
        this.current,
        rows,
        columns,
        C,
        start,
        stop,
        positions,
        n,
        pass.taps,
        pass.count,
        apart,
        own,
        pass.row,
      );
      call.product(1, 0, n, pass.row, 1, pass.row, 0, row, pass.V, pass.row, 0, h1, M, M, 1, 0);
    }
    call.requantize(h1, n * M);
    call.product(1, 0, n, M, 1, M, 0, h1, pass.W, M, pass.w, h2, M, M, 0, 0);
    call.requantize(h2, n * M);
    call.product(1, 0, n, M, 1, M, 0, h2, pass.R, M, pass.r, z, wide, wide, 0, 0);
    this.addOwnTerms(weights, pass, group, phase, positions, n, z);
    return z;
  }

  private addOwnTerms(
    weights: ContextWeights,
    pass: Pass,
    group: number,
    phase: number,
    positions: number,
    n: number,
    z: number,
  ): void {
    const {
      wasm: { call },
      rows,
      columns,
    } = this;
    const { codes: C, phases, groups } = weights.plan;
    const { start, stop } = groups[group] as { start: number; stop: number };
    const before = this.plan.layers[this.layer - 1];
    if (before) {
      const [qa, qb] = [weights.Q(0), weights.Q(1)];
      call.add_own_terms(
        z,
        start,
        stop,
        this.last,
        rows,
        columns,
        before.codes,
        C,
        positions,
        n,
        this.here,
        1,
        1,
        qa,
        qb,
      );
    }
    const apart = spacingOf(phases, phase);
    let row = 2 + 2 * kindsBefore(phases, phase);
    for (let tap = 0; tap < pass.count; tap += 4, row += 2) {
      const taps = pass.taps + 2 * tap;
      const [qa, qb] = [weights.Q(row), weights.Q(row + 1)];
      call.add_own_terms(z, start, stop, this.current, rows, columns, C, stop, positions, n, taps, 4, apart, qa, qb);
    }
  }

  private forget(start: number, stop: number): void {
    const C = (this.plan.layers[this.layer] as { codes: number }).codes;
    const codes = this.wasm.codes(this.current, this.positions * C);
    for (let p = 0; p < this.positions; p++) codes.fill(0, p * C + start, p * C + stop);
  }

  private end(): boolean {
    if (++this.group < (this.plan.layers[this.layer]?.groups.length ?? 0)) return false;
    if (this.last) this.wasm.give(this.last);
    this.last = this.current;
    this.current = 0;
    this.layer++;
    this.group = 0;
    return true;
  }
}

/** Kinds of neighbours that earlier phases know. */
function kindsBefore(phases: number, phase: number): number {
  const counts: Record<number, number[]> = { 2: [0, 0], 4: [0, 0, 1, 2], 5: [0, 0, 1, 2, 3] };
  return (counts[phases] as number[])[phase] as number;
}
