/** PNG, as far as tests need it: 8 bits, not interlaced. */

import { deflateSync, inflateSync } from 'node:zlib';

import { crc32 } from '../src/context.js';

/** A PNG of four bytes a pixel. */
export function packPng({ width, height, data }: { width: number; height: number; data: ArrayLike<number> }): Buffer {
  const chunk = (type: string, content: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), content]);
    const [size, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    size.writeUInt32BE(content.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([size, body, sum]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width);
  head.writeUInt32BE(height, 4);
  head.set([8, 6], 8);
  const rows = Buffer.alloc(height * (4 * width + 1));
  for (let y = 0; y < height; y++)
    for (let i = 0; i < 4 * width; i++) rows[y * (4 * width + 1) + 1 + i] = data[4 * width * y + i] as number;
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]);
  return Buffer.concat([
    signature,
    chunk('IHDR', head),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** Levels of a PNG, with as many channels as it has. */
export function unpackPng(file: Buffer): { width: number; height: number; channels: number; data: Uint8Array } {
  const parts: Buffer[] = [];
  let [width, height, channels] = [0, 0, 0];
  for (let at = 8; at < file.length;) {
    const size = file.readUInt32BE(at);
    const type = file.toString('latin1', at + 4, at + 8);
    const content = file.subarray(at + 8, at + 8 + size);
    if (type === 'IHDR') {
      [width, height] = [content.readUInt32BE(0), content.readUInt32BE(4)];
      channels = ({ 0: 1, 2: 3, 4: 2, 6: 4 } as Record<number, number>)[content[9] as number] as number;
    } else if (type === 'IDAT') parts.push(content);
    at += 12 + size;
  }
  const rows = inflateSync(Buffer.concat(parts));
  const line = width * channels;
  const data = new Uint8Array(line * height);
  for (let y = 0; y < height; y++)
    for (let i = 0; i < line; i++) {
      const left = i >= channels ? (data[y * line + i - channels] as number) : 0;
      const up = y ? (data[(y - 1) * line + i] as number) : 0;
      const corner = y && i >= channels ? (data[(y - 1) * line + i - channels] as number) : 0;
      const guesses = [0, left, up, (left + up) >> 1, paeth(left, up, corner)];
      data[y * line + i] =
        (rows[y * (line + 1) + 1 + i] as number) + (guesses[rows[y * (line + 1)] as number] as number);
    }
  return { width, height, channels, data };
}

function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [a, b, c] = [left, up, corner].map((value) => Math.abs(guess - value)) as [number, number, number];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}
