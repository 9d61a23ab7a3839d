/** Layers of the networks, carried out by the wasm module (SPEC section 11.3). */

import { InvalidInput } from './errors.js';
import type { Pace } from './pace.js';
import type { Placed, Rnn, Stack } from './table.js';
import type { Calls, Wasm } from './wasm.js';
import type { Arrays } from './weights.js';

/** Weight of both residual connections of the residual GRU (paper, equation 8). */
const ALPHA = 0.1;

/** An array (h, w, c) in the module's memory. */
export interface Tensor {
  at: number;
  h: number;
  w: number;
  c: number;
}

/** What layers read besides what comes in, and what they leave. */
export interface Surroundings {
  /** States by name, over what the network reads. They are not changed. */
  states?: Map<string, Tensor>;
  /** New states. */
  updated?: Map<string, Tensor>;
  /** The linear path's picture, for the painter. */
  picture?: Tensor;
  /** So many of the channels that come into the first layer are not 0. */
  channels?: number;
}

type Run = (x: Tensor, around: Surroundings) => Tensor;

/** A stack of layers with its weights. */
export class Network {
  private readonly steps: Run[];

  /** @throws InvalidInput weights that are not finite, or too large */
  constructor(
    private readonly wasm: Wasm,
    readonly stack: Stack,
    private readonly arrays: Arrays,
  ) {
    const longest = wasm.call.longest_row();
    for (const [name, shape] of stack.shapes)
      if (shape.slice(0, -1).reduce((product, side) => product * side, 1) > longest)
        throw new InvalidInput(`array ${name} of shape ${String(shape)} is too large for this decoder`);
    this.steps = stack.layers.map((placed, i) => this.prepare(placed, !i));
  }

  /** Run all layers. What goes in is given back; what comes out is to be. */
  async run(x: Tensor, around: Surroundings, pace: Pace): Promise<Tensor> {
    let y = x;
    for (const step of this.steps) {
      y = step(y, around);
      await pace.rest();
    }
    return y;
  }

  tensor(h: number, w: number, c: number): Tensor {
    return { at: this.wasm.take(4 * h * w * c), h, w, c };
  }

  private get call(): Calls {
    return this.wasm.call;
  }

  private prepare({ layer, name, spacing }: Placed, first: boolean): Run {
    if (layer.kind === 'conv')
      return this.conv(name, layer.kernel, layer.stride, layer.bias, layer.activation === 'relu');
    if (layer.kind === 'separable') {
      const relu = layer.activation === 'relu';
      const run = this.separable(name, layer.kernel, layer.stride, layer.bias);
      return (x) => this.replace(x, run(x, { relu }));
    }
    if (layer.kind === 'residual') return this.residual(name, layer.kernel);
    if (layer.kind === 'rnn') return this.rnn(name, layer, first);
    if (layer.kind === 'picture') return (x, { picture }) => this.join(x, picture as Tensor, spacing);
    const { factor } = layer;
    if (layer.kind === 'depth_to_space') return (x) => this.replace(x, this.spread(x, factor));
    return (x) => this.replace(x, this.gather(x, factor));
  }

  private replace(x: Tensor, y: Tensor): Tensor {
    this.wasm.give(x.at);
    return y;
  }

  private spread(x: Tensor, factor: number): Tensor {
    const y = this.tensor(x.h * factor, x.w * factor, x.c / factor ** 2);
    this.call.depth_to_space(x.at, x.h, x.w, x.c, factor, y.at);
    return y;
  }

  private gather(x: Tensor, factor: number): Tensor {
    const y = this.tensor(x.h / factor, x.w / factor, x.c * factor ** 2);
    this.call.space_to_depth(x.at, x.h, x.w, x.c, factor, y.at, y.c);
    return y;
  }

  /** Features and, behind them, the picture's pixels of each position. */
  private join(x: Tensor, picture: Tensor, spacing: number): Tensor {
    const y = this.tensor(x.h, x.w, x.c + 3 * spacing ** 2);
    this.call.copy_rows(x.at, x.c, y.at, y.c, x.h * x.w, x.c);
    this.call.space_to_depth(picture.at, picture.h, picture.w, 3, spacing, y.at + 4 * x.c, y.c);
    return this.replace(x, y);
  }

  private conv(name: string, kernel: number, stride: number, hasBias: boolean, relu: boolean): Run {
    const { wasm, call } = this;
    const shape = this.arrays.get(`${name}/kernel`).shape;
    const panels = this.arrays.panels(wasm, `${name}/kernel`);
    const bias = hasBias ? this.arrays.bias(wasm, `${name}/bias`) : 0;
    const depth = shape[3] as number;
    const extra = Math.max(kernel - stride, 0);
    const before = extra >> 1;
    return (x) => {
      let [from, wide] = [x.at, x.w];
      if (extra) {
        wide += extra;
        from = wasm.take(4 * (x.h + extra) * wide * x.c);
        call.surround(x.at, x.h, x.w, x.c, before, extra - before, from);
        wasm.give(x.at);
      }
      const y = this.tensor(x.h / stride, x.w / stride, depth);
      const row = wide * x.c;
      const deep = kernel * kernel * x.c;
      call.product(
        y.h,
        stride * row,
        y.w,
        stride * x.c,
        kernel,
        kernel * x.c,
        row,
        from,
        panels,
        deep,
        bias,
        y.at,
        depth,
        depth,
        0,
        Number(relu),
      );
      wasm.give(from);
      return y;
    };
  }

  /** A kernel for each channel, if there is one, then products at each place; x is kept. */
  private separable(
    prefix: string,
    kernel: number,
    stride: number,
    hasBias: boolean,
  ): (x: Tensor, how: { relu?: boolean; reluBefore?: boolean }) => Tensor {
    const { wasm } = this;
    const depth = this.arrays.get(`${prefix}/pointwise`).shape[1] as number;
    const taps = kernel > 1 || stride > 1 ? this.arrays.floats(wasm, `${prefix}/depthwise`) : 0;
    const panels = this.arrays.panels(wasm, `${prefix}/pointwise`);
    const bias = hasBias ? this.arrays.bias(wasm, `${prefix}/bias`) : 0;
    return (x, { relu = false, reluBefore = false }) => {
      const seen = this.depthwise(x, taps || this.ones(x.c), kernel, stride, reluBefore, !taps && !reluBefore);
      const y = this.tensor(seen.h, seen.w, depth);
      this.product(seen, panels, x.c, bias, y.at, depth, depth, false, relu);
      if (seen !== x) wasm.give(seen.at);
      return y;
    };
  }

  private one = new Map<number, number>();

  /** A kernel of one tap that changes nothing. */
  private ones(channels: number): number {
    let at = this.one.get(channels);
    if (at === undefined) this.one.set(channels, (at = this.wasm.put(new Float32Array(channels).fill(1))));
    return at;
  }

  private depthwise(x: Tensor, taps: number, kernel: number, stride: number, relu: boolean, nothing: boolean): Tensor {
    if (nothing) return x;
    const y = this.tensor(x.h / stride, x.w / stride, x.c);
    this.call.depthwise(x.at, x.h, x.w, x.c, taps, kernel, stride, Number(relu), y.at);
    return y;
  }

  private product(
    x: Tensor,
    panels: number,
    deep: number,
    bias: number,
    out: number,
    n: number,
    apart: number,
    add: boolean,
    relu = false,
    used = x.c,
  ): void {
    const row = x.w * x.c;
    this.call.product(
      x.h,
      row,
      x.w,
      x.c,
      1,
      used,
      0,
      x.at,
      panels,
      deep,
      bias,
      out,
      n,
      apart,
      Number(add),
      Number(relu),
    );
  }

  /** x + S2(relu(S1(relu(x)))) */
  private residual(name: string, kernel: number): Run {
    const [first, second] = ['S1', 'S2'].map((part) => this.separable(`${name}/${part}`, kernel, 1, true));
    return (x) => {
      const inner = (first as NonNullable<typeof first>)(x, { reluBefore: true, relu: true });
      const y = (second as NonNullable<typeof second>)(inner, {});
      this.call.add(y.at, x.at, x.h * x.w * x.c);
      this.wasm.give(inner.at, x.at);
      return y;
    };
  }

  /**
   * One step of a residual GRU: z = σ(W_z x + U_z h), r = σ(W_r x + U_r h), g = tanh(W x + U (r h)),
   * h' = (1 - z) h + z g + α W_h h, o = h' + α W_ox x.
   */
  private rnn(name: string, layer: Rnn, first: boolean): Run {
    const { wasm, call, arrays } = this;
    const { depth: d, kernel, stride, hidden } = layer;
    const spreads = kernel > 1 || stride > 1;
    const W = {
      taps: spreads ? arrays.floats(wasm, `${name}/W/depthwise`) : 0,
      panels: arrays.panels(wasm, `${name}/W/pointwise`),
      bias: layer.bias ? arrays.bias(wasm, `${name}/W/bias`) : 0,
    };
    const [gates, U] = ['U_gates', 'U'].map((part) => ({
      taps: hidden > 1 ? arrays.floats(wasm, `${name}/${part}/depthwise`) : 0,
      panels: arrays.panels(wasm, `${name}/${part}/pointwise`),
    })) as [{ taps: number; panels: number }, { taps: number; panels: number }];
    const W_h = arrays.panels(wasm, `${name}/W_h/pointwise`, ALPHA);
    const W_ox = arrays.panels(wasm, `${name}/W_ox/pointwise`, ALPHA);
    return (x, { states, updated, channels }) => {
      const h = states?.get(name) as Tensor;
      const used = first ? (channels ?? x.c) : x.c;
      const seen = this.depthwise(x, W.taps, kernel, stride, false, !spreads);
      const sums = this.tensor(seen.h, seen.w, 3 * d);
      this.product(seen, W.panels, x.c, W.bias, sums.at, 3 * d, 3 * d, false, false, used);
      if (seen !== x) wasm.give(seen.at);
      const known = this.depthwise(h, gates.taps, hidden, 1, false, hidden === 1);
      this.product(known, gates.panels, d, 0, sums.at, 2 * d, 3 * d, true);
      if (known !== h) wasm.give(known.at);
      const reset = this.tensor(h.h, h.w, d);
      call.gates(sums.at, h.at, reset.at, h.h * h.w, d);
      const after = this.depthwise(reset, U.taps, hidden, 1, false, hidden === 1);
      this.product(after, U.panels, d, 0, sums.at + 8 * d, d, 3 * d, true);
      if (after !== reset) wasm.give(after.at);
      const state = this.tensor(h.h, h.w, d);
      this.product(h, W_h, d, 0, state.at, d, d, false);
      call.renew(sums.at, h.at, state.at, reset.at, h.h * h.w, d);
      call.product(
        state.h,
        stride * x.w * x.c,
        state.w,
        stride * x.c,
        1,
        used,
        0,
        x.at,
        W_ox,
        x.c,
        0,
        reset.at,
        d,
        d,
        1,
        0,
      );
      wasm.give(sums.at, x.at);
      updated?.set(name, state);
      if (!updated) wasm.give(state.at);
      return reset;
    };
  }
}
