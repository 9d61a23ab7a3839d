/** Named arrays in a file: the part of safetensors that a model package uses (SPEC section 11). */

import { InvalidInput } from './errors.js';
import type { Wasm } from './wasm.js';

export interface ArrayInFile {
  dtype: 'F16' | 'F32';
  shape: number[];
  data: Uint8Array;
}

const SIZES: Record<string, number> = { F16: 2, F32: 4 };
const LENGTH = 8;

/** Arrays of a file by name, and the words of its table. */
export class Arrays {
  readonly arrays = new Map<string, ArrayInFile>();
  readonly words: Record<string, string> = {};

  /** @throws InvalidInput it is no such file */
  constructor(
    file: Uint8Array,
    readonly name: string,
  ) {
    const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    const start = file.length < LENGTH ? 0 : LENGTH + Number(view.getBigUint64(0, true));
    if (start <= LENGTH || start > file.length) throw this.refused('its table is cut short');
    let table: Record<string, unknown>;
    try {
      table = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(file.subarray(LENGTH, start)));
      for (const [key, value] of Object.entries(table.__metadata__ ?? {})) this.words[key] = String(value);
      delete table.__metadata__;
    } catch {
      throw this.refused('its table is not JSON');
    }
    const rows = Object.entries(table).map(([array, row]) => this.row(array, row));
    let end = 0;
    for (const { array, dtype, shape, begin, stop } of rows.sort((a, b) => a.begin - b.begin || a.stop - b.stop)) {
      const size = shape.reduce((product, side) => product * side, SIZES[dtype] as number);
      if (begin !== end || stop - begin !== size || start + stop > file.length)
        throw this.refused(`array ${array} is not where the one before it ends, or cut short`);
      end = stop;
      this.arrays.set(array, { dtype, shape, data: file.subarray(start + begin, start + stop) });
    }
    if (start + end !== file.length) throw this.refused('bytes follow its last array');
  }

  /**
   * Hold the arrays against what tables say of them.
   * @throws InvalidInput one is missing, too many, or of another shape
   */
  check(expected: Map<string, number[]>): void {
    for (const array of new Set([...this.arrays.keys(), ...expected.keys()])) {
      const [found, wanted] = [this.arrays.get(array)?.shape, expected.get(array)];
      if (String(found) !== String(wanted) || !found || !wanted)
        throw this.refused(`array ${array} has shape ${found ?? 'none'}, expected ${wanted ?? 'none'}`);
    }
  }

  get(array: string): ArrayInFile {
    const found = this.arrays.get(array);
    if (!found) throw this.refused(`array ${array} is missing`);
    return found;
  }

  /** An array as floats in the module's memory. To be given back. */
  floats(wasm: Wasm, array: string): number {
    const { dtype, shape, data } = this.get(array);
    const n = shape.reduce((product, side) => product * side, 1);
    const raw = wasm.put(data);
    const place = dtype === 'F16' ? wasm.take(4 * n) : raw;
    if (dtype === 'F16') {
      wasm.call.floats_of_halves(raw, place, n);
      wasm.give(raw);
    }
    if (!wasm.call.all_finite(place, n)) throw this.refused(`array ${array} holds numbers that are not finite`);
    return place;
  }

  /** A matrix (..., columns), times a factor, as `product` takes it. */
  panels(wasm: Wasm, array: string, factor = 1): number {
    const { shape } = this.get(array);
    const columns = shape.at(-1) as number;
    const rows = shape.reduce((product, side) => product * side, 1) / columns;
    const floats = this.floats(wasm, array);
    const place = wasm.take(4 * 8 * Math.ceil(columns / 8) * rows);
    wasm.call.pack_floats(floats, place, rows, columns, 0, rows, factor);
    wasm.give(floats);
    return place;
  }

  /** A vector, filled up with zeros to a multiple of 8, plus a number. */
  bias(wasm: Wasm, array: string, plus = 0): number {
    const n = this.get(array).shape[0] as number;
    const floats = this.floats(wasm, array);
    const padded = new Float32Array(8 * Math.ceil(n / 8));
    padded.set(wasm.floats(floats, n).map((value) => value + plus));
    wasm.give(floats);
    return wasm.put(padded);
  }

  private row(
    array: string,
    row: unknown,
  ): { array: string; dtype: 'F16' | 'F32'; shape: number[]; begin: number; stop: number } {
    const { dtype, shape, data_offsets: offsets } = (row ?? {}) as Record<string, unknown>;
    const whole = (list: unknown): list is number[] =>
      Array.isArray(list) && list.every((n) => Number.isSafeInteger(n) && n >= 0);
    if (!(dtype === 'F16' || dtype === 'F32') || !whole(shape) || !whole(offsets) || offsets.length !== 2)
      throw this.refused(`array ${array} is neither F16 nor F32, or has no shape and place`);
    return { array, dtype, shape, begin: offsets[0] as number, stop: offsets[1] as number };
  }

  private refused(reason: string): InvalidInput {
    return new InvalidInput(`${this.name}: not a file of weights of this model (${reason})`);
  }
}

/** Write arrays as a safetensors file, sorted by name. */
export function packArrays(arrays: Record<string, { shape: number[]; values: Float32Array }>, words = {}): Uint8Array {
  const table: Record<string, unknown> = Object.keys(words).length ? { __metadata__: words } : {};
  const names = Object.keys(arrays).sort();
  let end = 0;
  for (const name of names) {
    const { shape, values } = arrays[name] as { shape: number[]; values: Float32Array };
    table[name] = { dtype: 'F32', shape, data_offsets: [end, (end += 4 * values.length)] };
  }
  let text = JSON.stringify(table);
  text += ' '.repeat(-new TextEncoder().encode(text).length & 7);
  const head = new TextEncoder().encode(text);
  const file = new Uint8Array(LENGTH + head.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(head.length), true);
  file.set(head, LENGTH);
  let at = LENGTH + head.length;
  for (const name of names) {
    const { values } = arrays[name] as { values: Float32Array };
    file.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at);
    at += values.byteLength;
  }
  return file;
}
