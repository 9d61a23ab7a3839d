/** Header and elements as bytes (SPEC sections 2 to 5). */

import { Damaged, InvalidInput, NotRgru, UnsupportedVersion } from './errors.js';

export const SIGNATURE = Uint8Array.of(0x89, 0x52, 0x47, 0x52, 0x55, 0x0d, 0x0a, 0x1a);
export const HEADER_SIZE = 21;
export const VERSION = 1;
export const KIND_GROUP = 0;
export const KIND_LAYER = 1;
export const KIND_BOX = 2;
export const CRC_START = 0xffff;

const GREY = 0x10;
const ALPHA = 0x20;
const RESERVED = 0xc0;
const MOST_SIDE = 2 ** 24 - 1;

const CRC = Uint16Array.from({ length: 256 }, (_, byte) => {
  let register = byte << 8;
  for (let i = 0; i < 8; i++) register = (register << 1) ^ (register & 0x8000 ? 0x1021 : 0);
  return register;
});

/** CRC-16 of SPEC section 2. */
export function crc16(data: Uint8Array, start = CRC_START): number {
  let register = start;
  for (const byte of data) register = ((register << 8) & 0xffff) ^ (CRC[(register >> 8) ^ byte] as number);
  return register;
}

/** What the first 21 bytes say. */
export interface Header {
  width: number;
  height: number;
  grey: boolean;
  alpha: boolean;
  /** Model id, in hexadecimal. */
  model: string;
}

/** @throws NotRgru `data` is not the signature, or its beginning */
export function checkSignature(data: Uint8Array): void {
  if (SIGNATURE.every((byte, i) => byte === data[i])) return;
  throw new NotRgru('not a .rgru file: the signature is missing');
}

/** @throws NotRgru, Damaged, UnsupportedVersion in the order of SPEC section 3 */
export function unpackHeader(data: Uint8Array): Header {
  checkSignature(data);
  const view = new DataView(data.buffer, data.byteOffset, HEADER_SIZE);
  if (crc16(data.subarray(0, 19)) !== view.getUint16(19, true))
    throw new Damaged('the checksum of the header does not match', null, 0);
  const flags = view.getUint8(14);
  if ((flags & 15) !== VERSION)
    throw new UnsupportedVersion(`the file is of version ${flags & 15}; this decoder knows version ${VERSION}`);
  if (flags & RESERVED) throw new UnsupportedVersion('the file uses a reserved flag: it is of a later edition');
  const width = view.getUint32(8, true) & MOST_SIDE;
  const height = view.getUint32(11, true) & MOST_SIDE;
  if (!width || !height) throw new Damaged(`the picture has ${width} x ${height} pixels`, null, 0);
  return { width, height, grey: !!(flags & GREY), alpha: !!(flags & ALPHA), model: hex(data.subarray(15, 19)) };
}

export function packHeader({ width, height, grey, alpha, model }: Header): Uint8Array {
  if (![width, height].every((side) => Number.isInteger(side) && side >= 1 && side <= MOST_SIDE))
    throw new InvalidInput(`a picture of ${width} x ${height} pixels cannot be written`);
  const data = new Uint8Array(HEADER_SIZE);
  const view = new DataView(data.buffer);
  data.set(SIGNATURE);
  view.setUint32(8, width, true);
  view.setUint32(11, height, true);
  data[14] = VERSION | (grey ? GREY : 0) | (alpha ? ALPHA : 0);
  data.set(unhex(model), 15);
  view.setUint16(19, crc16(data.subarray(0, 19)), true);
  return data;
}

/** An element: head, checksum, payload (SPEC section 4). */
export function packElement(kind: number, payload: Uint8Array, start: number): Uint8Array {
  const head: number[] = [];
  let value = payload.length * 4 + kind;
  do {
    const rest = Math.floor(value / 128);
    head.push((value % 128) | (rest ? 128 : 0));
    value = rest;
  } while (value);
  const data = new Uint8Array(head.length + 2 + payload.length);
  data.set(head);
  data.set(payload, head.length + 2);
  const check = crc16(payload, crc16(data.subarray(0, head.length), start));
  data[head.length] = check & 255;
  data[head.length + 1] = check >> 8;
  return data;
}

export function hex(data: Uint8Array): string {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function unhex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (two) => parseInt(two, 16));
}

export function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
