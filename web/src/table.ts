/** Tables of layers: what `model.json` and an encoder's table say, checked (SPEC section 11.3). */

import { InvalidInput } from './errors.js';
import { MOST_CODES, MOST_LAYERS, POSITION } from './limits.js';

export interface Convolution {
  depth: number;
  kernel: number;
  stride: number;
  bias: boolean;
  activation: 'linear' | 'relu';
}

export interface Rnn {
  kind: 'rnn';
  depth: number;
  kernel: number;
  stride: number;
  /** Side of the kernels on the state. */
  hidden: number;
  bias: boolean;
}

export type Layer =
  | (Convolution & { kind: 'conv' })
  | (Convolution & { kind: 'separable' })
  | { kind: 'residual'; kernel: number; inner: number }
  | Rnn
  | { kind: 'depth_to_space'; factor: number }
  | { kind: 'space_to_depth'; factor: number }
  | { kind: 'picture' };

export type Shapes = Map<string, number[]>;

const CONV = { depth: 0, kernel: 1, stride: 1, bias: true, activation: 'linear' };
/** Keys of each kind with their defaults; 0: must be given. */
const KEYS: Record<string, Record<string, unknown>> = {
  conv: CONV,
  separable: { ...CONV, kernel: 3 },
  residual: { kernel: 3, inner: 0 },
  rnn: { depth: 0, kernel: 1, stride: 1, hidden: 3, bias: true },
  depth_to_space: { factor: 0 },
  space_to_depth: { factor: 0 },
  picture: {},
};
const MOST: Record<string, number> = { kernel: 64, hidden: 16, stride: 16, factor: 16, depth: 4096, inner: 4096 };

/** One layer with what comes in and goes out of it. */
export interface Placed {
  layer: Layer;
  /** In front of the names of its arrays. */
  name: string;
  /** Channels that come in. */
  depth: number;
  /** Pixels between positions of what comes in. */
  spacing: number;
}

/** Layers one after the other. */
export class Stack {
  readonly layers: Placed[] = [];
  readonly shapes: Shapes = new Map();
  /** States by the name of their layer. */
  readonly states = new Map<string, { spacing: number; depth: number }>();
  /** Channels that come out. */
  depth: number;
  /** Pixels between positions of what comes out. */
  spacing: number;
  /** Pixels around a place on which its output depends, to each side. */
  readonly reach: number;

  /**
   * @param letter E, D or P
   * @param listed the table
   * @throws InvalidInput
   */
  constructor(letter: string, listed: unknown, what: string, depth: number, spacing: number) {
    this.depth = depth;
    this.spacing = spacing;
    if (!Array.isArray(listed)) throw new InvalidInput(`${what} is not a list of layers`);
    let reach = 0;
    for (const [i, row] of listed.entries()) {
      const layer = parse(row, `${what}[${i}]`);
      if (layer.kind === 'picture' && letter !== 'P')
        throw new InvalidInput(`${what}[${i}]: the linear path's picture joins the painter alone`);
      const placed = { layer, name: `${letter}/${layer.kind}${i}`, depth: this.depth, spacing: this.spacing };
      this.layers.push(placed);
      reach += this.spacing * reachOf(layer);
      for (const [name, shape] of shapesOf(placed)) this.shapes.set(`${placed.name}/${name}`, shape);
      this.step(layer, placed.name);
    }
    this.reach = Math.ceil(reach);
  }

  private step(layer: Layer, name: string): void {
    if (layer.kind === 'picture') this.depth += 3 * this.spacing ** 2;
    if (layer.kind === 'conv' || layer.kind === 'separable' || layer.kind === 'rnn') {
      this.depth = layer.depth;
      this.spacing *= layer.stride;
    } else if (layer.kind === 'depth_to_space') {
      this.depth /= layer.factor ** 2;
      this.spacing /= layer.factor;
    } else if (layer.kind === 'space_to_depth') {
      this.depth *= layer.factor ** 2;
      this.spacing *= layer.factor;
    }
    if (
      !Number.isInteger(this.depth) ||
      !Number.isInteger(this.spacing) ||
      this.spacing > POSITION ||
      POSITION % this.spacing
    )
      throw new InvalidInput(`${name}: ${this.depth} channels, ${this.spacing} pixels between positions`);
    if (layer.kind === 'rnn') this.states.set(name, { spacing: this.spacing, depth: this.depth });
  }
}

function parse(row: unknown, what: string): Layer {
  const { kind, ...given } = (row ?? {}) as Record<string, unknown>;
  const keys = KEYS[String(kind)];
  if (!keys) throw new InvalidInput(`${what}: no layer of kind ${String(kind)} is known`);
  for (const [key, value] of Object.entries(given))
    if (!(key in keys) || !fits(key, value))
      throw new InvalidInput(`${what}: ${key} = ${String(value)} does not fit ${String(kind)}`);
  const layer = { kind, ...keys, ...given } as Record<string, unknown>;
  for (const key of ['depth', 'factor'])
    if (layer[key] === 0) throw new InvalidInput(`${what}: ${String(kind)} needs ${key}`);
  return layer as unknown as Layer;
}

function fits(key: string, value: unknown): boolean {
  if (key === 'bias') return typeof value === 'boolean';
  if (key === 'activation') return value === 'linear' || value === 'relu';
  return (
    Number.isInteger(value) &&
    (value as number) >= (key === 'inner' ? 0 : 1) &&
    (value as number) <= (MOST[key] as number)
  );
}

function half(extra: number): number {
  return Math.ceil(Math.max(extra, 0) / 2);
}

/** Input positions around a place on which its output depends. */
function reachOf(layer: Layer): number {
  if (layer.kind === 'conv' || layer.kind === 'separable') return half(layer.kernel - layer.stride);
  if (layer.kind === 'residual') return 2 * half(layer.kernel - 1);
  if (layer.kind === 'rnn') return half(layer.kernel - layer.stride) + layer.stride * 2 * half(layer.hidden - 1);
  return 0;
}

function separable(prefix: string, kernel: number, stride: number, from: number, to: number, bias: boolean): Shapes {
  const shapes: Shapes = new Map([[`${prefix}pointwise`, [from, to]]]);
  if (kernel > 1 || stride > 1) shapes.set(`${prefix}depthwise`, [kernel, kernel, from]);
  if (bias) shapes.set(`${prefix}bias`, [to]);
  return shapes;
}

/** Arrays of a layer that `depth` channels go into. */
function shapesOf({ layer, depth }: Placed): Shapes {
  if (layer.kind === 'conv') {
    const shapes: Shapes = new Map([['kernel', [layer.kernel, layer.kernel, depth, layer.depth]]]);
    return layer.bias ? shapes.set('bias', [layer.depth]) : shapes;
  }
  if (layer.kind === 'separable') return separable('', layer.kernel, layer.stride, depth, layer.depth, layer.bias);
  if (layer.kind === 'residual') {
    const inner = layer.inner || depth;
    return new Map([
      ...separable('S1/', layer.kernel, 1, depth, inner, true),
      ...separable('S2/', layer.kernel, 1, inner, depth, true),
    ]);
  }
  if (layer.kind !== 'rnn') return new Map();
  const own = layer.depth;
  return new Map([
    ...separable('W/', layer.kernel, layer.stride, depth, 3 * own, layer.bias),
    ...separable('U_gates/', layer.hidden, 1, own, 2 * own, false),
    ...separable('U/', layer.hidden, 1, own, own, false),
    ...separable('W_h/', 1, 1, own, own, false),
    ...separable('W_ox/', 1, 1, depth, own, false),
  ]);
}

/** What `model.json` says of the decoding half. */
export class DecodingTable {
  /** Channels of codes, for each layer. */
  readonly codes: number[];
  /** Channels of the linear path. */
  readonly pairs: number;
  readonly D: Stack;
  readonly P: Stack;
  /** D's first state, on which the linear path depends. */
  readonly first: string;
  readonly shapes: Shapes;

  /** @throws InvalidInput it does not fit SPEC */
  constructor(table: Record<string, unknown>) {
    const { codes } = table;
    const fine = (count: unknown): boolean =>
      Number.isInteger(count) && (count as number) >= 2 && (count as number) <= MOST_CODES && !((count as number) % 2);
    if (!Array.isArray(codes) || !codes.length || codes.length > MOST_LAYERS || !codes.every(fine))
      throw new InvalidInput(`codes is not a list of 1 to ${MOST_LAYERS} even numbers up to ${MOST_CODES}`);
    this.codes = codes;
    const most = Math.max(...this.codes);
    this.pairs = most / 2;
    this.D = new Stack('D', table.decoder, 'decoder', most, POSITION);
    const first = this.D.layers[0];
    if (first?.layer.kind !== 'rnn') throw new InvalidInput('the decoder does not begin with an rnn layer');
    this.first = first.name;
    if (this.D.layers.some(({ spacing }) => spacing !== POSITION) || this.D.spacing !== POSITION)
      throw new InvalidInput(`the decoder does not keep to ${POSITION} pixels a position`);
    this.P = new Stack('P', table.painter, 'painter', this.D.depth + this.pairs, POSITION);
    if (this.P.spacing !== 1 || this.P.depth !== 3 || this.P.states.size)
      throw new InvalidInput('the painter does not end in pixels of three channels');
    this.shapes = new Map([
      ['gains', [this.codes.length]],
      ['L/steps/kernel', [first.layer.depth, this.pairs]],
      ['L/steps/bias', [this.pairs]],
      ['L/synthesis', [this.pairs, 3 * POSITION ** 2]],
      ...this.D.shapes,
      ...this.P.shapes,
    ]);
  }
}

/** What an encoder's table says. */
export class EncoderTable {
  readonly E: Stack;
  readonly digits: number[][];
  readonly threshold: number;
  /** Functions of the linear path that residuals are told by. */
  readonly functions: number;
  readonly shapes: Shapes;

  /** @throws InvalidInput it does not fit the decoding half */
  constructor(half: DecodingTable, table: Record<string, unknown>) {
    const { digits, threshold } = table;
    const most = 2 * half.pairs;
    this.E = new Stack('E', table.encoder, 'encoder', 3, 1);
    if (this.E.spacing !== POSITION) throw new InvalidInput('the encoder does not end at the positions of codes');
    const worth = (value: unknown): boolean => Number.isFinite(value) && value !== 0;
    if (!Array.isArray(digits) || !digits.every((list) => Array.isArray(list) && list.length && list.every(worth)))
      throw new InvalidInput('digits is not a list of lists of numbers');
    if (typeof threshold !== 'number' || !(threshold > 0 && threshold < 1))
      throw new InvalidInput('threshold is not between 0 and 1');
    this.digits = digits;
    this.threshold = threshold;
    const told = digits.flat().length;
    if (told >= half.pairs) throw new InvalidInput(`${told} digits of ${half.pairs} pairs`);
    this.functions = half.pairs - told + digits.length;
    const state = half.D.states.get(half.first)?.depth as number;
    this.shapes = new Map([
      ['L/analysis', [POSITION, POSITION, 3, this.functions]],
      ['L/fineness/kernel', [state, half.pairs]],
      ['L/fineness/bias', [half.pairs]],
      ['L/thresholds/kernel', [state, most]],
      ['L/thresholds/bias', [most]],
      ['B/kernel', [this.E.depth, most]],
      ['B/bias', [most]],
      ...this.E.shapes,
    ]);
  }
}
