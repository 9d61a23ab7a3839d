/** From codes to pixels (SPEC section 11.4): takes codes layer by layer, keeps states, paints when asked. */

import { InvalidInput } from './errors.js';
import { Network, type Tensor } from './layers.js';
import { POSITION } from './limits.js';
import type { Pixels } from './options.js';
import type { Pace } from './pace.js';
import { DecodingTable } from './table.js';
import type { Wasm } from './wasm.js';
import type { Arrays } from './weights.js';
import { Field, type Rect, sizeOf, type Window, windowsOf } from './windows.js';

/** Positions that windows read at most. */
export interface Windows {
  decoder: number;
  /** Of the encoder, too. */
  painter: number;
}

/** Magnitudes that values reach where they are kept in 16 bits. */
const MOST_STATE = 8;
const MOST_FEATURE = 32;

/** The decoding half of a model, its weights in the module's memory. */
export class DecodingHalf {
  readonly table: DecodingTable;
  readonly gains: number[];
  readonly D: Network;
  readonly P: Network;
  private readonly synthesis: number;
  private readonly steps: { panels: number; bias: number };

  /** @throws InvalidInput table and arrays do not fit each other, or SPEC */
  constructor(
    readonly wasm: Wasm,
    table: Record<string, unknown>,
    arrays: Arrays,
  ) {
    this.table = new DecodingTable(table);
    arrays.check(this.table.shapes);
    this.D = new Network(wasm, this.table.D, arrays);
    this.P = new Network(wasm, this.table.P, arrays);
    this.synthesis = arrays.panels(wasm, 'L/synthesis');
    this.steps = { panels: arrays.panels(wasm, 'L/steps/kernel'), bias: arrays.bias(wasm, 'L/steps/bias') };
    const gains = arrays.floats(wasm, 'gains');
    this.gains = [...wasm.floats(gains, this.table.codes.length)];
    if (Math.min(...this.gains) <= 0) throw new InvalidInput('a gain is not above 0');
  }

  /** Coefficients of the linear path: half of plus minus minus, times a factor that the state h gives. */
  coefficients(codes: Tensor, h: Tensor, channels: number): Tensor {
    const { call } = this.wasm;
    const pairs = channels / 2;
    const c = this.D.tensor(codes.h, codes.w, pairs);
    const { panels, bias } = this.steps;
    const n = codes.h * codes.w;
    call.product(1, 0, n, h.c, 1, h.c, 0, h.at, panels, h.c, bias, c.at, pairs, pairs, 0, 0);
    call.factor(c.at, n * pairs);
    call.times_difference(c.at, codes.at, n, pairs, codes.c);
    return c;
  }

  /** The picture of features and coefficients, (h, w, 3), `known` being both side by side; it is given back. */
  async paint(known: Tensor, pace: Pace): Promise<Tensor> {
    const { wasm, P } = this;
    const depth = this.table.D.depth;
    const blocks = P.tensor(known.h, known.w, 3 * POSITION ** 2);
    wasm.call.product(
      1,
      0,
      known.h * known.w,
      known.c,
      1,
      this.table.pairs,
      0,
      known.at + 4 * depth,
      this.synthesis,
      this.table.pairs,
      0,
      blocks.at,
      blocks.c,
      blocks.c,
      0,
      0,
    );
    const picture = P.tensor(known.h * POSITION, known.w * POSITION, 3);
    wasm.call.depth_to_space(blocks.at, known.h, known.w, blocks.c, POSITION, picture.at);
    wasm.give(blocks.at);
    const painted = await P.run(known, { picture }, pace);
    wasm.call.add(painted.at, picture.at, 3 * picture.h * picture.w);
    wasm.give(picture.at);
    return painted;
  }
}

/** Takes a painted window: its values (h, w, 3) cover `outside`. */
export type Take = (window: Window, picture: Tensor) => void | Promise<void>;

/** Takes windows as levels, opaque. */
export function takeLevels(wasm: Wasm, { data, width, height }: Pixels, grey: boolean): Take {
  return ({ inside, outside }, painted) => {
    const left = inside.left * POSITION;
    const count = Math.min(width, inside.right * POSITION) - left;
    const row = wasm.take(4 * count);
    for (let y = inside.top * POSITION; y < Math.min(height, inside.bottom * POSITION); y++) {
      const from = painted.at + 12 * ((y - outside.top * POSITION) * painted.w + left - outside.left * POSITION);
      wasm.call.levels(from, count, Number(grey), row);
      data.set(wasm.bytes(row, 4 * count), 4 * (y * width + left));
    }
    wasm.give(row);
  };
}

/** One picture on the decoder's side. */
export class Painter {
  /** Layers that were added. */
  layers = 0;
  private states: Map<string, Field>;
  private features: Field;
  private sums: Field;

  constructor(
    readonly half: DecodingHalf,
    readonly rows: number,
    readonly columns: number,
    private readonly windows: Windows,
    private readonly pace: Pace,
  ) {
    const field = (channels: number, most: number): Field => new Field(half.wasm, rows, columns, channels, most);
    this.states = new Map([...half.table.D.states].map(([name, { depth }]) => [name, field(depth, MOST_STATE)]));
    this.features = field(half.table.D.depth, MOST_FEATURE);
    this.sums = field(half.table.pairs, MOST_FEATURE);
  }

  close(): void {
    for (const field of [...this.states.values(), this.features, this.sums]) field.close();
  }

  /** D's first state, which encoders look at. */
  get known(): Field {
    return this.states.get(this.half.table.first) as Field;
  }

  /** Run D on the codes of the next layer: int8 (rows, columns, channels). */
  async addLayer(codes: number, channels: number): Promise<void> {
    const { wasm } = this.half;
    const old = await this.decode(channels, true, (rect, out) => {
      const [height, width] = sizeOf(rect);
      for (let y = 0; y < height; y++) {
        const from = codes + ((rect.top + y) * this.columns + rect.left) * channels;
        this.spread(width, channels, out + 4 * y * width * 2 * this.half.table.pairs, (row) =>
          wasm.call.floats_of_codes(from, width * channels, row),
        );
      }
    });
    for (const field of old) field.close();
    this.layers++;
  }

  /**
   * Run D on what is expected of the next layer, int32 in 32768ths, and paint; states and sums stay
   * as they are (8.5).
   */
  async preview(expected: number, channels: number, take: Take): Promise<void> {
    const { wasm } = this.half;
    const kept = this.sums;
    await this.decode(channels, false, (rect, out) => {
      const [height, width] = sizeOf(rect);
      for (let y = 0; y < height; y++) {
        const from = expected + 4 * ((rect.top + y) * this.columns + rect.left) * channels;
        this.spread(width, channels, out + 4 * y * width * 2 * this.half.table.pairs, (row) =>
          wasm.call.floats_of_expectation(from, width * channels, row),
        );
      }
    });
    await this.paint(take);
    this.sums.close();
    this.sums = kept;
  }

  /** The picture after the layers so far, window by window. */
  async paint(take: Take): Promise<void> {
    const { half, rows, columns } = this;
    const border = Math.ceil(half.table.P.reach / POSITION);
    const depth = half.table.D.depth;
    for (const window of windowsOf(rows, columns, border, this.windows.painter)) {
      const [height, width] = sizeOf(window.outside);
      const known = half.P.tensor(height, width, depth + half.table.pairs);
      this.features.load(window.outside, known.at, known.c);
      this.sums.load(window.outside, known.at + 4 * depth, known.c);
      const picture = await half.paint(known, this.pace);
      await take(window, picture);
      half.wasm.give(picture.at);
    }
  }

  /** Rows of `channels` floats, made by `fill`, to rows of as many as there are at most, the others 0. */
  private spread(width: number, channels: number, out: number, fill: (row: number) => void): void {
    const { wasm, table } = this.half;
    const most = 2 * table.pairs;
    if (channels === most) {
      fill(out);
      return;
    }
    const row = wasm.take(4 * width * channels);
    fill(row);
    wasm.call.copy_rows(row, channels, out, most, width, channels);
    wasm.give(row);
  }

  /** D over the picture. Returns the fields that are no longer needed. */
  private async decode(channels: number, keep: boolean, fill: (rect: Rect, out: number) => void): Promise<Field[]> {
    const { half, rows, columns, pace } = this;
    const { wasm, table } = half;
    const border = Math.ceil(table.D.reach / POSITION);
    const sums = this.sums.like();
    const next = new Map(keep ? [...this.states].map(([name, field]) => [name, field.like()]) : []);
    const scale = 1 / (half.gains[this.layers] as number);
    for (const window of windowsOf(rows, columns, border, this.windows.decoder)) {
      const [height, width] = sizeOf(window.outside);
      const codes: Tensor = {
        at: wasm.zeros(8 * height * width * table.pairs),
        h: height,
        w: width,
        c: 2 * table.pairs,
      };
      fill(window.outside, codes.at);
      const states = new Map<string, Tensor>();
      for (const [name, field] of this.states) {
        const state = half.D.tensor(height, width, field.channels);
        field.load(window.outside, state.at);
        states.set(name, state);
      }
      const c = half.coefficients(codes, states.get(table.first) as Tensor, channels);
      sums.storeSum(this.sums, window, c, scale);
      const updated = new Map<string, Tensor>();
      const features = await half.D.run(codes, { states, updated, channels }, pace);
      this.features.store(window, features);
      for (const [name, state] of updated) next.get(name)?.store(window, state);
      wasm.give(c.at, features.at, ...[...states.values(), ...updated.values()].map(({ at }) => at));
    }
    const old = keep ? [...this.states.values(), this.sums] : [this.sums];
    this.sums = sums;
    if (keep) this.states = next;
    return old;
  }
}
