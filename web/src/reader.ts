/** Push parser: bytes go in as they arrive, events come out (SPEC sections 3 to 6, 9 and 10). */

import * as boxes from './boxes.js';
import {
  checkSignature,
  crc16,
  CRC_START,
  type Header,
  HEADER_SIZE,
  KIND_BOX,
  KIND_GROUP,
  KIND_LAYER,
  SIGNATURE,
  unpackHeader,
} from './container.js';
import { Damaged, LimitExceeded, NotRgru, RgruError, UnsupportedVersion } from './errors.js';
import {
  checkPixels,
  DEFAULT_LIMITS,
  gridSize,
  largestAlpha,
  largestPayload,
  type Limits,
  MOST_BOXES,
  MOST_CODES,
  MOST_GROUPS,
  MOST_LAYERS,
  MOST_PAYLOAD,
} from './limits.js';

export type Event =
  | { kind: 'header'; header: Header }
  | { kind: 'box'; box: boxes.Box; layer: number; offset: number; end: number }
  | { kind: 'group'; layer: number; group: number; payload: Uint8Array; offset: number; end: number };

/** Sizes of a context model: channels of each group, for each layer. */
export type Groups = number[][];

const CRC_SIZE = 2;
const MOST_HEAD = 5;
/** So many zeros where an element would begin end the file (SPEC section 4). */
const END = 8;
const CRITICAL_HERE = new Set([boxes.ALPHA]);

/** Turns the bytes of one file into events; the pieces in which they arrive do not matter. */
export class Reader {
  header: Header | null = null;
  /** Layers opened so far. */
  layer = 0;
  /** Groups of the last layer. */
  groups = 0;
  /** End of the last whole structure, in bytes. */
  offset = 0;
  /** Bytes behind the end of the file. */
  ignored = 0;
  /** To be set when the header has come: without it, elements are read as they come. */
  model: Groups | null = null;
  private buffer = new Uint8Array(1024);
  private begin = 0;
  private end = 0;
  private ordinal = 0;
  private afterBox = false;
  private boxes = 0;
  private single = new Set<string>();
  private metadata = 0;
  private ended = false;
  private error: RgruError | null = null;

  constructor(readonly limits: Limits = DEFAULT_LIMITS) {}

  /** Whether all layers of the model are there, and the alpha plane if there is one. */
  get complete(): boolean {
    if (!this.model || !this.header || this.layer < this.model.length) return false;
    return (!this.header.alpha || this.single.has(boxes.ALPHA)) && this.layerIsWhole();
  }

  /** Number of a further layer whose first byte is there; else null. */
  get coming(): number | null {
    if (!this.header || this.begin === this.end || this.complete) return null;
    return ((this.buffer[this.begin] as number) & 3) === KIND_LAYER ? this.layer + 1 : null;
  }

  /**
   * Take in further bytes; tell what has become known.
   * @throws NotRgru, UnsupportedVersion, Damaged, LimitExceeded; then again at every call
   */
  async *feed(data: Uint8Array): AsyncGenerator<Event, void> {
    if (this.error) throw this.error;
    this.append(data);
    try {
      for (let event = await this.next(); event; event = await this.next()) yield event;
    } catch (error) {
      if (error instanceof RgruError) this.error = error;
      throw error;
    }
  }

  /**
   * Tell that no more bytes come; returns how many bytes of a cut element were left over.
   * @throws NotRgru, Damaged the data ended inside the header
   */
  close(): number {
    if (this.error) throw this.error;
    const present = this.end - this.begin;
    if (!this.header) {
      if (present < SIGNATURE.length) throw new NotRgru(`not a .rgru file: it ends after ${present} bytes`);
      throw new Damaged(`the file ends inside the header, after ${present} bytes`, null, 0);
    }
    if (!this.complete && this.buffer.subarray(this.begin, this.end).some((byte) => byte)) return present;
    this.ignored += present;
    this.begin = this.end;
    return 0;
  }

  private append(data: Uint8Array): void {
    const present = this.end - this.begin;
    if (this.end + data.length > this.buffer.length) {
      const larger = present + data.length > this.buffer.length / 2;
      const room = larger ? new Uint8Array(2 * (present + data.length)) : this.buffer;
      room.set(this.buffer.subarray(this.begin, this.end));
      this.buffer = room;
      this.begin = 0;
      this.end = present;
    }
    this.buffer.set(data, this.end);
    this.end += data.length;
  }

  private async next(): Promise<Event | null> {
    if (!this.header) return this.nextHeader();
    if (!this.ended) {
      try {
        const event = await this.nextElement();
        if (!this.ended) return event;
      } catch (error) {
        if (!this.complete || !(error instanceof RgruError)) throw error;
        this.ended = true; // what follows is not of the file
      }
    }
    this.ignored += this.end - this.begin;
    this.begin = this.end;
    return null;
  }

  private nextHeader(): Event | null {
    const data = this.buffer.subarray(this.begin, this.end);
    if (data.length >= SIGNATURE.length) checkSignature(data);
    if (data.length < HEADER_SIZE) return null;
    const header = unpackHeader(data);
    checkPixels(header.height, header.width, this.limits);
    this.header = header;
    this.use(HEADER_SIZE);
    return { kind: 'header', header };
  }

  private async nextElement(): Promise<Event | null> {
    const data = this.buffer.subarray(this.begin, this.end);
    if (!data.length) return null;
    if (data.subarray(0, END).every((byte) => !byte)) {
      this.ended = data.length >= END;
      return null;
    }
    const kind = (data[0] as number) & 3;
    this.checkOrder(kind);
    const head = this.head(data);
    if (!head) return null;
    const payloadAt = head.size + CRC_SIZE;
    if (kind === KIND_BOX) {
      if (head.length < 4) throw this.damaged(`a box of ${head.length} bytes has no room for its type`);
      if (data.length < payloadAt + 4) return null;
      this.checkBox(data.subarray(payloadAt, payloadAt + 4), head.length);
    } else this.checkGroup(kind, head.length);
    const size = payloadAt + head.length;
    if (data.length < size) return null;
    const payload = data.slice(payloadAt, size);
    const start = crc16(data.subarray(0, head.size), kind === KIND_BOX ? CRC_START : this.ordinal & 0xffff);
    if (crc16(payload, start) !== ((data[head.size] as number) | ((data[head.size + 1] as number) << 8)))
      throw this.damaged(`the checksum of a ${kind === KIND_BOX ? 'box' : 'group of codes'} does not match`);
    return kind === KIND_BOX ? this.box(payload, size) : this.group(kind, payload, size);
  }

  private use(size: number): void {
    this.begin += size;
    this.offset += size;
  }

  private head(data: Uint8Array): { size: number; length: number } | null {
    let value = 0;
    for (let i = 0; i < Math.min(data.length, MOST_HEAD); i++) {
      const byte = data[i] as number;
      value += (byte & 127) * 128 ** i;
      if (byte & 128) continue;
      if (i && !byte) throw this.damaged('the length of an element is not in its shortest form');
      const length = Math.floor(value / 4);
      if (length > MOST_PAYLOAD) throw this.damaged(`an element claims ${length} bytes`);
      return { size: i + 1, length };
    }
    if (data.length >= MOST_HEAD) throw this.damaged('the length of an element does not end');
    return null;
  }

  private damaged(reason: string): Damaged {
    const kind = (this.buffer[this.begin] as number) & 3;
    return new Damaged(reason, kind === KIND_GROUP ? Math.max(this.layer, 1) : this.layer + 1, this.offset);
  }

  /** Whether no group of the last layer is missing; so before the first, too. */
  private layerIsWhole(): boolean {
    return !this.layer || this.groups === this.model?.[this.layer - 1]?.length;
  }

  private checkOrder(kind: number): void {
    const inside = !!this.model && !this.layerIsWhole();
    if (kind === KIND_GROUP) {
      if (!this.layer) throw this.damaged('a group stands before the first layer');
      if (this.afterBox) throw this.damaged('a box stands between the groups of a layer');
      if (this.model && !inside) throw this.damaged(`layer ${this.layer} has more groups than its model`);
      if (this.groups >= MOST_GROUPS) throw this.damaged(`a layer has more than ${MOST_GROUPS} groups`);
    } else if (kind === KIND_LAYER) {
      const most = this.model?.length ?? MOST_LAYERS;
      if (inside) throw this.damaged(`layer ${this.layer} has fewer groups than its model`);
      if (this.layer >= most) throw this.damaged(`the file has more than ${most} layers`);
    } else if (kind === KIND_BOX) {
      if (inside) throw this.damaged('a box stands behind a layer that lacks groups');
      if (this.boxes >= MOST_BOXES) throw this.damaged(`the file has more than ${MOST_BOXES} boxes`);
    } else throw this.damaged('an element is of the reserved kind 3');
  }

  /** Refuse a length before anything of that size is held. */
  private checkGroup(kind: number, length: number): void {
    const { height, width } = this.header as Header;
    const [rows, columns] = gridSize(height, width);
    const layer = this.model?.[this.layer - (kind === KIND_GROUP ? 1 : 0)];
    const channels = layer?.[kind === KIND_LAYER ? 0 : this.groups] ?? MOST_CODES;
    if (length > largestPayload(rows * columns, channels))
      throw this.damaged(`a group claims ${length} bytes, more than its codes can need`);
  }

  private checkBox(name: Uint8Array, length: number): void {
    const type = String.fromCharCode(...name);
    if (!boxes.isType(type)) throw this.damaged(`a box has the type ${JSON.stringify(type)}`);
    if (this.single.has(type)) throw this.damaged(`the box ${type} occurs twice`);
    if (boxes.COLOUR_BOXES.has(type) && [...boxes.COLOUR_BOXES].some((other) => this.single.has(other)))
      throw this.damaged('the file has two boxes of colour');
    const early = boxes.COLOUR_BOXES.has(type) || (boxes.isCritical(type) && !CRITICAL_HERE.has(type));
    if (early && this.layer) throw this.damaged(`the box ${type} stands after a layer`);
    if (type === boxes.ALPHA) this.checkAlpha(length - 4);
    else if (type === boxes.COLOUR && length !== 8)
      throw this.damaged(`the box ${type} has ${length - 4} bytes, not 4`);
    else this.checkMetadata(length - Number(boxes.METADATA_BOXES.has(type))); // the byte before content
  }

  private checkMetadata(length: number): void {
    const most = this.limits.maxMetadataBytes;
    if (this.metadata + length > most) throw new LimitExceeded('maxMetadataBytes', this.metadata + length, most);
  }

  private checkAlpha(size: number): void {
    const { alpha, height, width } = this.header as Header;
    if (!alpha) throw this.damaged('the file has an alpha box but its header says it has none');
    if (size > largestAlpha(height, width))
      throw this.damaged(`the alpha box claims ${size} bytes, more than it can need`);
  }

  private group(kind: number, payload: Uint8Array, size: number): Event {
    if (kind === KIND_LAYER) {
      this.layer++;
      this.groups = 0;
    }
    this.groups++;
    this.ordinal++;
    this.afterBox = false;
    const offset = this.offset;
    this.use(size);
    return { kind: 'group', layer: this.layer, group: this.groups - 1, payload, offset, end: this.offset };
  }

  private async box(payload: Uint8Array, size: number): Promise<Event> {
    const type = String.fromCharCode(...payload.subarray(0, 4));
    const content = await this.opened(type, payload.subarray(4));
    if (boxes.SINGLE_BOXES.has(type)) this.single.add(type);
    if (type !== boxes.ALPHA) this.metadata += 4 + content.length;
    this.boxes++;
    this.afterBox = true;
    const offset = this.offset;
    this.use(size);
    return { kind: 'box', box: { type, content }, layer: this.layer + 1, offset, end: this.offset };
  }

  private async opened(type: string, stored: Uint8Array): Promise<Uint8Array> {
    if (boxes.isCritical(type) && !CRITICAL_HERE.has(type))
      throw new UnsupportedVersion(`the file needs a decoder that knows the box ${type}, a later edition`);
    const most = this.limits.maxMetadataBytes;
    try {
      return await boxes.unpackContent(type, stored, most - this.metadata - 4, most);
    } catch (error) {
      throw error instanceof Damaged ? this.damaged(error.reason) : error;
    }
  }
}
