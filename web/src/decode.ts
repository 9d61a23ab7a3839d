/** From the bytes of a file, as they arrive, to pictures. */

import { unpackAlpha } from './alpha.js';
import { ALPHA, type Box, COLOUR } from './boxes.js';
import { checkDecode } from './checks.js';
import { Codes } from './codes.js';
import type { Header } from './container.js';
import { Damaged, LimitExceeded, OutOfMemory } from './errors.js';
import { gridSize, type Limits, limitsOf } from './limits.js';
import type { Engine } from './model.js';
import type { DecodeOptions, Picture } from './options.js';
import { Pace } from './pace.js';
import { Painter, type Take, takeLevels } from './painter.js';
import { type Event, Reader } from './reader.js';

/** Told of what goes on besides pictures. */
export interface Watch {
  header?: (header: Header) => void;
  box?: (box: Box) => void;
  /** Codes of a whole layer: int8 (rows, columns, C). */
  codes?: (layer: number, codes: Int8Array) => void;
}

/** Makes an engine for a model id. */
export type FindEngine = (id: string) => Promise<Engine>;

const DISPLAY_P3 = 12;

/**
 * Pictures of a file as it arrives.
 * @throws InvalidInput for the options; NotRgru, UnsupportedVersion, Damaged, LimitExceeded, ModelMissing, behind
 *   the pictures that could be had
 */
export async function* decodeFile(
  source: AsyncIterable<Uint8Array>,
  find: FindEngine,
  options: DecodeOptions = {},
  watch: Watch = {},
): AsyncGenerator<Picture, void> {
  const decoding = new Decoding(find, options, watch);
  try {
    for await (const data of source) {
      yield* decoding.feed(data);
      if (decoding.enough) break;
    }
    yield* decoding.close();
  } finally {
    decoding.free();
  }
}

class Decoding {
  private readonly limits: Limits;
  private readonly reader: Reader;
  private readonly pace: Pace;
  private engine: Engine | null = null;
  private codes: Codes | null = null;
  private painter: Painter | null = null;
  private alpha: Uint8Array | null = null;
  private colour: Picture['colour'] = 'srgb';
  private bytes = 0;
  /** Whether something arrived that no picture shows yet. */
  private news = false;

  constructor(
    private readonly find: FindEngine,
    private readonly options: DecodeOptions,
    private readonly watch: Watch,
  ) {
    checkDecode(options);
    this.limits = limitsOf(options.limits);
    this.reader = new Reader(this.limits);
    this.pace = new Pace(options.signal);
  }

  /** Whether all layers that are wanted are there, and the alpha plane if there is one. */
  get enough(): boolean {
    const { header } = this.reader;
    const layers = this.codes?.layer ?? 0;
    return !!header && layers >= (this.options.layers ?? Infinity) && (!header.alpha || !!this.alpha);
  }

  async *feed(data: Uint8Array): AsyncGenerator<Picture, void> {
    const { pictures = 'all' } = this.options;
    this.options.signal?.throwIfAborted();
    try {
      for await (const event of this.reader.feed(data)) {
        if (await this.take(event)) {
          this.news = true;
          if (pictures === 'all') yield await this.show();
        }
        this.expectNext();
        if (this.enough) break;
      }
    } catch (error) {
      if (error instanceof Damaged || error instanceof LimitExceeded) yield* this.rest();
      throw error;
    }
    this.expectNext();
    if (pictures === 'latest' && this.news) yield await this.show();
  }

  async *close(): AsyncGenerator<Picture, void> {
    if (!this.enough) this.reader.close();
    yield* this.rest();
  }

  free(): void {
    this.codes?.close();
    this.painter?.close();
  }

  /** What is there and was not shown. */
  private async *rest(): AsyncGenerator<Picture, void> {
    if (!this.codes || !this.painter || this.options.pictures === 'none') return;
    if (this.codes.group && !this.enough) yield await this.preview();
    else if (this.news || !this.codes.layer) yield await this.show();
  }

  /** Whether there is something new to show. */
  private async take(event: Event): Promise<boolean> {
    if (event.kind === 'header') await this.begin(event.header);
    else if (event.kind === 'box') return this.takeBox(event);
    else return this.takeGroup(event);
    return false;
  }

  private async begin(header: Header): Promise<void> {
    this.watch.header?.(header);
    this.bytes = this.reader.offset;
    this.engine = await this.find(header.model);
    this.engine.model.prepare();
    const plan = await this.engine.model.plan();
    this.reader.model = plan.layers.map(({ groups }) => groups.map(({ start, stop }) => stop - start));
    const half = await this.engine.decodingHalf();
    const grid = gridSize(header.height, header.width);
    const { engine } = this;
    this.codes = new Codes(plan, engine, ...grid, this.pace);
    this.painter = new Painter(half, ...grid, engine.windows, this.pace);
  }

  /** Fetch the context model of a layer as soon as its first byte is there. */
  private expectNext(): void {
    const { coming } = this.reader;
    if (coming !== null && coming <= (this.options.layers ?? Infinity))
      this.engine?.model.layer(coming - 1).catch(() => undefined); // told where it is used
  }

  private async takeBox({ box, layer, offset, end }: Event & { kind: 'box' }): Promise<boolean> {
    this.watch.box?.(box);
    if (box.type === COLOUR && box.content[0] === DISPLAY_P3) this.colour = 'display-p3';
    if (box.type !== ALPHA) return false;
    const { height, width } = this.reader.header as Header;
    try {
      this.alpha = await unpackAlpha(box.content, height, width);
    } catch (error) {
      throw error instanceof Damaged ? new Damaged(error.reason, layer, offset) : error;
    }
    this.bytes = end;
    return !!this.codes?.layer;
  }

  private async takeGroup({ payload, offset, end }: Event & { kind: 'group' }): Promise<boolean> {
    const [codes, painter] = [this.codes as Codes, this.painter as Painter];
    if (codes.layer >= (this.options.layers ?? Infinity)) return false; // behind what is wanted, before the alpha plane
    const whole = await codes.decode(payload, offset);
    this.bytes = end;
    if (!whole) return false;
    this.watch.codes?.(codes.layer, codes.wholeCodes());
    if (this.options.pictures !== 'none')
      await painter.addLayer(codes.whole, painter.half.table.codes[codes.layer - 1] as number);
    return true;
  }

  private async show(): Promise<Picture> {
    const picture = this.blank(0);
    this.news = false;
    if (this.painter?.layers) await this.painter.paint(this.taker(picture));
    else picture.pixels.fill(128);
    return this.withAlpha(picture);
  }

  /** The picture with what is expected of the layer in progress. */
  private async preview(): Promise<Picture> {
    const [codes, painter] = [this.codes as Codes, this.painter as Painter];
    const picture = this.blank(codes.group);
    const expected = await codes.expectation();
    await painter.preview(expected, painter.half.table.codes[codes.layer] as number, this.taker(picture));
    painter.half.wasm.give(expected);
    return this.withAlpha(picture);
  }

  private blank(groups: number): Picture {
    const { width, height, grey } = this.reader.header as Header;
    const pixels = levelsOf(width, height);
    const layers = this.codes?.layer ?? 0;
    return { width, height, layers, groups, bytes: this.bytes, pixels, colour: this.colour, grey };
  }

  private taker({ pixels, width, height, grey }: Picture): Take {
    return takeLevels((this.painter as Painter).half.wasm, { data: pixels, width, height }, grey);
  }

  private withAlpha(picture: Picture): Picture {
    const { alpha } = this;
    const { pixels } = picture;
    if (alpha) for (let i = 0; i < alpha.length; i++) pixels[4 * i + 3] = alpha[i] as number;
    else if (!this.painter?.layers) for (let i = 3; i < pixels.length; i += 4) pixels[i] = 255;
    return picture;
  }
}

function levelsOf(width: number, height: number): Picture['pixels'] {
  try {
    return new Uint8ClampedArray(4 * width * height);
  } catch (error) {
    throw error instanceof RangeError ? new OutOfMemory(`a picture of ${width}x${height} pixels`) : error;
  }
}
