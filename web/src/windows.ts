/**
 * Large pictures in windows, so that memory is bounded by the window. Windows overlap by the reach of
 * a network, and so give what one pass over the whole picture would.
 */

import type { Tensor } from './layers.js';
import type { Wasm } from './wasm.js';

/** Rows top..bottom and columns left..right, in positions of the codes. */
export interface Rect {
  top: number;
  bottom: number;
  left: number;
  right: number;
}

export function sizeOf(rect: Rect): [number, number] {
  return [rect.bottom - rect.top, rect.right - rect.left];
}

/** What a window computes, and what it reads for that. */
export interface Window {
  inside: Rect;
  outside: Rect;
}

/**
 * Cut a grid into windows, so that little is computed twice.
 * @param border how far a window reads around what it computes
 * @param most positions that it may read
 */
export function windowsOf(rows: number, columns: number, border: number, most: number): Window[] {
  let best = { cost: Infinity, height: rows, width: columns };
  for (let down = 1; down <= rows; down++) {
    const height = Math.ceil(rows / down);
    const tall = Math.min(rows, height + 2 * border);
    const widest = Math.max(Math.floor(most / tall), 2 * border + 1);
    const across = columns <= widest ? 1 : Math.ceil(columns / (widest - 2 * border));
    const width = Math.ceil(columns / across);
    const cost = down * across * tall * Math.min(columns, width + 2 * border);
    if (tall * Math.min(columns, width + 2 * border) <= most && cost < best.cost) best = { cost, height, width };
  }
  if (best.cost === Infinity) best = { cost: 0, height: 2 * border + 1, width: 2 * border + 1 };
  const windows: Window[] = [];
  for (let top = 0; top < rows; top += best.height)
    for (let left = 0; left < columns; left += best.width) {
      const inside = {
        top,
        bottom: Math.min(rows, top + best.height),
        left,
        right: Math.min(columns, left + best.width),
      };
      windows.push({
        inside,
        outside: {
          top: Math.max(0, top - border),
          bottom: Math.min(rows, inside.bottom + border),
          left: Math.max(0, left - border),
          right: Math.min(columns, inside.right + border),
        },
      });
    }
  return windows;
}

/** Positions from which on values are kept in 16 bits. */
const LARGE = 16384;

/** Values over a grid, (rows, columns, channels), 0 at first: floats, or 16-bit multiples of a step where it is large. */
export class Field {
  private at: number;
  private readonly step: number;
  private readonly size: number;

  /** @param most magnitude that values reach */
  constructor(
    private readonly wasm: Wasm,
    readonly rows: number,
    readonly columns: number,
    readonly channels: number,
    most: number,
  ) {
    this.step = rows * columns > LARGE ? most / 32768 : 0;
    this.size = this.step ? 2 : 4;
    this.at = wasm.zeros(this.size * rows * columns * channels);
  }

  /** An empty field of the same kind. */
  like(): Field {
    const most = this.step * 32768;
    return new Field(this.wasm, this.rows, this.columns, this.channels, most);
  }

  close(): void {
    this.wasm.give(this.at);
  }

  /** Values of a rectangle to floats; rows of channels are `apart`. */
  load(rect: Rect, out: number, apart = this.channels): void {
    const [height, width] = sizeOf(rect);
    const { call } = this.wasm;
    for (let y = 0; y < height; y++) {
      const [from, to] = [this.place(rect.top + y, rect.left), out + 4 * y * width * apart];
      if (this.step) call.load_steps(from, to, width, this.channels, apart, this.step);
      else call.copy_rows(from, this.channels, to, apart, width, this.channels);
    }
  }

  /** Take over the values of a window's inside, from an array over its outside. */
  store(window: Window, values: Tensor): void {
    this.eachRow(window, values, (from, to, width) => {
      const { call } = this.wasm;
      if (this.step) call.store_steps(from, values.c, to, width, this.channels, this.step);
      else call.copy_rows(from, values.c, to, this.channels, width, this.channels);
    });
  }

  /** Take over `old` plus `factor` times values, of which the first channels may be given only. */
  storeSum(old: Field, window: Window, values: Tensor, factor: number): void {
    this.eachRow(window, values, (from, to, width, y, x) => {
      const { call } = this.wasm;
      const before = old.place(y, x);
      if (this.step) call.add_steps(before, from, values.c, factor, to, width, this.channels, this.step);
      else call.add_scaled(before, from, values.c, factor, to, width, this.channels);
    });
  }

  private place(y: number, x: number): number {
    return this.at + this.size * (y * this.columns + x) * this.channels;
  }

  private eachRow(
    { inside, outside }: Window,
    values: Tensor,
    work: (from: number, to: number, width: number, y: number, x: number) => void,
  ): void {
    for (let y = inside.top; y < inside.bottom; y++) {
      const from = values.at + 4 * ((y - outside.top) * values.w + inside.left - outside.left) * values.c;
      work(from, this.place(y, inside.left), inside.right - inside.left, y, inside.left);
    }
  }
}
