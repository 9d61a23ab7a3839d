/** E, the binarizer and the linear path's analysis: what is left of a picture to codes. */

import { InvalidInput } from './errors.js';
import { Network, type Tensor } from './layers.js';
import { POSITION } from './limits.js';
import { type Engine, parseTable } from './model.js';
import type { Pace } from './pace.js';
import type { DecodingHalf } from './painter.js';
import { EncoderTable } from './table.js';
import { Arrays } from './weights.js';

/** Names of the files of encoders. */
const FILES = /^encoder(-[A-Za-z0-9][A-Za-z0-9._]*)?\.safetensors$/;

/**
 * An encoder of the engine's model, made once.
 * @throws InvalidInput there is none of that name, or it is another model's
 */
export async function encodingHalf(engine: Engine, half: DecodingHalf, name: string): Promise<EncoderHalf> {
  const file = name === 'default' ? 'encoder.safetensors' : `encoder-${name}.safetensors`;
  if (!FILES.test(file)) throw new InvalidInput(`'${name}' is no name for an encoder: letters, digits, dots, _`);
  const data = await engine.model.part(file);
  return engine.made(file, () => {
    const arrays = new Arrays(data, file);
    if (!arrays.words.model?.startsWith(engine.model.id))
      throw new InvalidInput(`${file} is not of model ${engine.model.id}`);
    return new EncoderHalf(half, arrays);
  });
}

/** Its weights in the module's memory. */
export class EncoderHalf {
  readonly table: EncoderTable;
  readonly E: Network;
  private readonly analysis: number;
  private readonly fineness: { panels: number; bias: number };
  private readonly thresholds: { panels: number; bias: number };
  private readonly B: { panels: number; bias: number };

  constructor(
    private readonly half: DecodingHalf,
    arrays: Arrays,
  ) {
    const { wasm } = half;
    this.table = new EncoderTable(half.table, parseTable(new TextEncoder().encode(arrays.words.table ?? '')));
    arrays.check(this.table.shapes);
    this.E = new Network(wasm, this.table.E, arrays);
    this.analysis = arrays.panels(wasm, 'L/analysis');
    this.fineness = { panels: arrays.panels(wasm, 'L/fineness/kernel'), bias: arrays.bias(wasm, 'L/fineness/bias') };
    this.thresholds = {
      panels: arrays.panels(wasm, 'L/thresholds/kernel'),
      bias: arrays.bias(wasm, 'L/thresholds/bias', -this.table.threshold),
    };
    this.B = { panels: arrays.panels(wasm, 'B/kernel'), bias: arrays.bias(wasm, 'B/bias') };
  }

  /** int8 codes of a window, (h, w, channels); x, what is left of it, is given back. To be given back. */
  async codes(
    x: Tensor,
    h: Tensor,
    states: Map<string, Tensor>,
    channels: number,
    updated: Map<string, Tensor>,
    pace: Pace,
  ): Promise<number> {
    const {
      half: {
        wasm,
        table: { pairs },
      },
      E,
    } = this;
    const { call } = wasm;
    const n = h.h * h.w;
    const told = this.tell(x, n);
    const features = await E.run(x, { states, updated }, pace);
    const sums = wasm.take(8 * n * pairs);
    const product = (
      from: Tensor,
      w: { panels: number; bias: number },
      out: number,
      columns: number,
      add: number,
    ): number =>
      call.product(1, 0, n, from.c, 1, from.c, 0, from.at, w.panels, from.c, w.bias, out, columns, columns, add, 0);
    product(features, this.B, sums, 2 * pairs, 0);
    product(h, this.thresholds, sums, 2 * pairs, 1);
    const factors = wasm.take(4 * n * pairs);
    product(h, this.fineness, factors, pairs, 0);
    call.factor(factors, n * pairs);
    const codes = wasm.take(n * channels);
    call.signs(sums, told, factors, codes, n, 2 * pairs, channels);
    wasm.give(told, features.at, sums, factors);
    return codes;
  }

  /** Inner products with the functions, in steps; those of the means in digits, each of what the ones before it leave. */
  private tell(x: Tensor, n: number): number {
    const {
      half: {
        wasm,
        table: { pairs },
      },
      table: { digits, functions, threshold },
    } = this;
    const row = 3 * x.w;
    const y = wasm.take(4 * n * functions);
    wasm.call.product(
      x.h / POSITION,
      POSITION * row,
      x.w / POSITION,
      3 * POSITION,
      POSITION,
      3 * POSITION,
      row,
      x.at,
      this.analysis,
      3 * POSITION ** 2,
      0,
      y,
      functions,
      functions,
      0,
      0,
    );
    const told = wasm.take(4 * n * pairs);
    let column = 0;
    for (const [mean, worths] of digits.entries())
      for (const worth of worths)
        wasm.call.digit(y + 4 * mean, n, functions, told + 4 * column++, pairs, worth, threshold);
    wasm.call.copy_rows(y + 4 * digits.length, functions, told + 4 * column, pairs, n, functions - digits.length);
    wasm.give(y);
    return told;
  }
}
