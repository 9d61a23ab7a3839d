/** From pixels to a file (SPEC section 11.8): what is left of the picture, layer by layer, to codes. */

import { packAlpha } from './alpha.js';
import { ALPHA } from './boxes.js';
import { checkEncode } from './checks.js';
import { Codes } from './codes.js';
import { CRC_START, joined, KIND_BOX, KIND_GROUP, KIND_LAYER, packElement, packHeader } from './container.js';
import { InvalidInput } from './errors.js';
import { type EncoderHalf, encodingHalf } from './encoderhalf.js';
import type { Tensor } from './layers.js';
import { checkPixels, gridSize, limitsOf, POSITION } from './limits.js';
import type { Engine } from './model.js';
import { msssim } from './msssim.js';
import type { EncodeOptions, Pixels } from './options.js';
import { Pace } from './pace.js';
import { type DecodingHalf, Painter, takeLevels, type Windows } from './painter.js';
import { Field, sizeOf, type Window, windowsOf } from './windows.js';

/** A file that is being written. */
export interface Encoded {
  /** Layers in it; 0: header only. */
  layers: number;
  /** What belongs behind the pieces before. */
  piece: Uint8Array;
  /** The picture so far, if it was asked for. */
  picture?: (Pixels & { data: Uint8ClampedArray<ArrayBuffer> }) | undefined;
}

/** Hardly to be told from the original. */
const DEFAULT_MSSSIM = 0.98;
const LEVEL = 0.9 / 127.5;
/** Magnitude of a picture where it is kept in 16 bits: 512 levels. */
const MOST_PICTURE = 512 * LEVEL;
const MOST_STATE = 8;

/**
 * A file, piece by piece: the header, then whole layers.
 * @throws InvalidInput, LimitExceeded, ModelMissing
 */
export async function* encodeFile(
  pixels: Pixels,
  find: () => Promise<Engine>,
  options: EncodeOptions = {},
  show = false,
): AsyncGenerator<Encoded, void> {
  checkEncode(options);
  const limits = limitsOf(options.limits);
  const { width, height, data } = (pixels ?? {}) as Pixels;
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray))
    throw new InvalidInput('pixels must be levels from 0 to 255, in a Uint8Array or Uint8ClampedArray');
  if (data.length !== 4 * width * height || !data.length)
    throw new InvalidInput(`pixels of ${width} x ${height} have ${data.length} bytes, not 4 each`);
  checkPixels(height, width, limits);
  const engine = await find();
  const [half, plan] = await Promise.all([engine.decodingHalf(), engine.model.plan()]);
  const { maxBytes = Infinity, encoder = 'default' } = options;
  const layers = options.layers === undefined || options.layers === 'all' ? plan.layers.length : options.layers;
  const enough = qualityOf(options);
  if (layers > plan.layers.length)
    throw new InvalidInput(`layers is ${layers}; model ${engine.model.id} has ${plan.layers.length}`);
  const encoding = await encodingHalf(engine, half, encoder);
  const pace = new Pace(options.signal);
  const alpha = data.some((level, i) => (i & 3) === 3 && level !== 255);
  const picture = new Encoding(half, encoding, pixels, engine.windows, pace);
  const grid = gridSize(height, width);
  const codes = new Codes(plan, engine, ...grid, pace);
  let piece = packHeader({ width, height, grey: false, alpha, model: engine.model.id });
  let bytes = piece.length;
  yield { layers: 0, piece };
  let groups = 0;
  for (let layer = 0; layer < layers; layer++) {
    const place = await picture.next(plan.layers[layer]?.codes as number);
    const payloads = await codes.encode(place);
    engine.wasm.give(place);
    const elements = payloads.map((payload, i) => packElement(i ? KIND_GROUP : KIND_LAYER, payload, groups++ & 0xffff));
    if (alpha && !layer) elements.push(await alphaBox(pixels));
    piece = joined(elements);
    bytes += piece.length;
    if (bytes > maxBytes && !layer)
      throw new InvalidInput(`maxBytes ${maxBytes} cannot be met: the first layer ends after ${bytes} bytes`);
    if (bytes > maxBytes) break;
    if (layer + 1 < layers || show) await picture.take(codes.whole, plan.layers[layer]?.codes as number);
    yield { layers: layer + 1, piece, picture: show ? picture.shown() : undefined };
    if (layer + 1 < layers && (await picture.reaches(enough))) break;
  }
  codes.close();
  picture.close();
}

/** MS-SSIM that is aimed at; above 1 where something else says how much is written. */
function qualityOf({ layers, maxBytes, msssim }: EncodeOptions): number {
  return msssim ?? (layers === undefined && maxBytes === undefined ? DEFAULT_MSSSIM : 2);
}

async function alphaBox({ data, height, width }: Pixels): Promise<Uint8Array> {
  const plane = Uint8Array.from({ length: height * width }, (_, i) => data[4 * i + 3] as number);
  const content = await packAlpha(plane, height, width);
  return packElement(KIND_BOX, joined([new TextEncoder().encode(ALPHA), content]), CRC_START);
}

/** One picture on the encoder's side. */
class Encoding {
  private readonly painter: Painter;
  private readonly painted: Field;
  private readonly levels: Uint8ClampedArray<ArrayBuffer>;
  private states: Map<string, Field>;
  private readonly rows: number;
  private readonly columns: number;

  constructor(
    private readonly half: DecodingHalf,
    private readonly encoder: EncoderHalf,
    private readonly pixels: Pixels,
    private readonly windows: Windows,
    private readonly pace: Pace,
  ) {
    [this.rows, this.columns] = gridSize(pixels.height, pixels.width);
    this.painter = new Painter(half, this.rows, this.columns, windows, pace);
    this.painted = new Field(half.wasm, this.rows, this.columns, 3 * POSITION ** 2, MOST_PICTURE);
    this.levels = new Uint8ClampedArray(pixels.data.length);
    this.states = new Map();
    for (const [name, { spacing, depth }] of encoder.table.E.states)
      this.states.set(
        name,
        new Field(half.wasm, this.rows, this.columns, depth * (POSITION / spacing) ** 2, MOST_STATE),
      );
  }

  close(): void {
    this.painter.close();
    for (const field of [this.painted, ...this.states.values()]) field.close();
  }

  /** Codes of the next layer: int8 (rows, columns, channels). To be given back. */
  async next(channels: number): Promise<number> {
    const {
      half: { wasm, gains },
      encoder,
      rows,
      columns,
    } = this;
    const codes = wasm.take(rows * columns * channels);
    const next = new Map([...this.states].map(([name, field]) => [name, field.like()]));
    const border = Math.ceil(encoder.table.E.reach / POSITION);
    for (const window of windowsOf(rows, columns, border, this.windows.painter)) {
      const [height, width] = sizeOf(window.outside);
      const x = this.residual(window, gains[this.painter.layers] as number);
      const h = unfold(this.painter.known, window, wasm, 1);
      const states = new Map<string, Tensor>();
      for (const [name, field] of this.states)
        states.set(name, unfold(field, window, wasm, POSITION / (encoder.table.E.states.get(name)?.spacing as number)));
      const updated = new Map<string, Tensor>();
      const found = await encoder.codes(x, h, states, channels, updated, this.pace);
      for (const [name, state] of updated) {
        const folded = fold(state, wasm, height);
        next.get(name)?.store(window, folded);
        if (folded !== state) wasm.give(folded.at);
      }
      const { inside, outside } = window;
      for (let y = inside.top; y < inside.bottom; y++) {
        const from = found + ((y - outside.top) * width + inside.left - outside.left) * channels;
        const to = codes + (y * columns + inside.left) * channels;
        wasm
          .bytes(to, (inside.right - inside.left) * channels)
          .set(wasm.bytes(from, (inside.right - inside.left) * channels));
      }
      wasm.give(found, h.at, ...[...states.values(), ...updated.values()].map(({ at }) => at));
    }
    for (const field of this.states.values()) field.close();
    this.states = next;
    return codes;
  }

  /** Take codes to the picture that the next layer starts from. */
  async take(codes: number, channels: number): Promise<void> {
    const { wasm } = this.half;
    await this.painter.addLayer(codes, channels);
    const { width, height } = this.pixels;
    const take = takeLevels(wasm, { width, height, data: this.levels }, false);
    await this.painter.paint(async (window, picture) => {
      await take(window, picture);
      const folded = fold(picture, wasm, sizeOf(window.outside)[0]);
      this.painted.store(window, folded);
      wasm.give(folded.at);
    });
  }

  /** Whether the picture so far is so similar to the original. */
  async reaches(quality: number): Promise<boolean> {
    const { data, width, height } = this.pixels;
    return quality < 1 && (await msssim(data, this.levels, width, height, this.pace)) >= quality;
  }

  /** What a decoder shows of the codes taken so far. */
  shown(): Pixels & { data: Uint8ClampedArray<ArrayBuffer> } {
    const { width, height, data } = this.pixels;
    const levels = this.levels.slice();
    for (let i = 3; i < levels.length; i += 4) levels[i] = data[i] as number;
    return { width, height, data: levels };
  }

  /** gain * (I - P) of a window, (h, w, 3); the picture's edges are repeated outwards. */
  private residual({ outside }: Window, gain: number): Tensor {
    const {
      half: { wasm },
      pixels: { data, width, height },
    } = this;
    const [h, w] = sizeOf(outside).map((side) => side * POSITION) as [number, number];
    const painted = unfold(this.painted, { inside: outside, outside }, wasm, POSITION);
    const levels = new Uint8Array(4 * w);
    const row = wasm.take(4 * w);
    for (let y = 0; y < h; y++) {
      const line = 4 * width * Math.min(height - 1, outside.top * POSITION + y);
      const left = outside.left * POSITION;
      const inner = Math.max(0, Math.min(w, width - left));
      levels.set(data.subarray(line + 4 * left, line + 4 * (left + inner)));
      for (let x = inner; x < w; x++) levels.set(data.subarray(line + 4 * (width - 1), line + 4 * width), 4 * x);
      wasm.bytes(row, 4 * w).set(levels);
      wasm.call.residual(painted.at + 12 * y * w, row, w, gain);
    }
    wasm.give(row);
    return painted;
  }
}

/** Values of a field over a window, `finer` of them along each side of a position. */
function unfold(field: Field, { outside }: Window, wasm: DecodingHalf['wasm'], finer: number): Tensor {
  const [h, w] = sizeOf(outside);
  const blocks = { at: wasm.take(4 * h * w * field.channels), h, w, c: field.channels };
  field.load(outside, blocks.at);
  if (finer === 1) return blocks;
  const values = {
    at: wasm.take(4 * h * w * field.channels),
    h: h * finer,
    w: w * finer,
    c: field.channels / finer ** 2,
  };
  wasm.call.depth_to_space(blocks.at, h, w, blocks.c, finer, values.at);
  wasm.give(blocks.at);
  return values;
}

/** Values by positions of the codes: all that belong to a position side by side. */
function fold(values: Tensor, wasm: DecodingHalf['wasm'], rows: number): Tensor {
  const finer = values.h / rows;
  if (finer === 1) return values;
  const folded = {
    at: wasm.take(4 * values.h * values.w * values.c),
    h: rows,
    w: values.w / finer,
    c: values.c * finer ** 2,
  };
  wasm.call.space_to_depth(values.at, values.h, values.w, values.c, finer, folded.at, folded.c);
  return folded;
}
