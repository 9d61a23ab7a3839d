/** The wasm module and its memory, which is handed out from here. */

import { LimitExceeded, OutOfMemory } from './errors.js';

type Call = (...values: number[]) => number;
const NAMES = [
  'longest_row',
  'pack_floats',
  'pack_shorts',
  'product',
  'floats_of_halves',
  'all_finite',
  'surround',
  'depthwise',
  'depth_to_space',
  'space_to_depth',
  'copy_rows',
  'add',
  'gates',
  'renew',
  'factor',
  'times_difference',
  'floats_of_codes',
  'floats_of_expectation',
  'load_steps',
  'store_steps',
  'add_steps',
  'add_scaled',
  'levels',
  'residual',
  'digit',
  'signs',
  'gather',
  'begin_sums',
  'requantize',
  'strip_of_codes',
  'strip_of_state',
  'bytes_of_floats',
  'add_own_terms',
  'logits_of',
  'expect',
  'expectation_of_codes',
  'add_magnitudes',
  'table_place',
  'table_is_set',
  'begin_reading',
  'begin_writing',
  'finish_writing',
  'code_phase',
] as const;
export type Calls = Record<(typeof NAMES)[number], Call>;

const PAGE = 65536;
const ALIGNED = 64;
/** So much more may be read behind an array. */
const BEHIND = 64;
/** A function with one instruction of relaxed SIMD. */
const RELAXED = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15,
  253, 128, 2, 11,
];

/** Whether this engine has relaxed SIMD. */
export function hasRelaxedSimd(): boolean {
  return WebAssembly.validate(Uint8Array.from(RELAXED));
}

/** An instance of the module. Pointers are numbers of bytes. */
export class Wasm {
  readonly call: Calls;
  private readonly memory: WebAssembly.Memory;
  private top: number;
  private sizes = new Map<number, number>();
  /** Free blocks, by place; neighbours are one block. */
  private free: { at: number; size: number }[] = [];

  private constructor(
    module: WebAssembly.Module,
    readonly most: number,
  ) {
    this.memory = new WebAssembly.Memory({ initial: 32, maximum: 65536 });
    const { exports } = new WebAssembly.Instance(module, { env: { memory: this.memory } });
    this.call = exports as unknown as Calls;
    this.top = roundUp((exports.__heap_base as WebAssembly.Global).value as number);
  }

  /** @param most bytes that it may take */
  static async start(module: WebAssembly.Module, most: number): Promise<Wasm> {
    return new Wasm(module, most);
  }

  /** Bytes that it has taken from the system. */
  get size(): number {
    return this.memory.buffer.byteLength;
  }

  /** Room for so many bytes; its content is not defined. */
  take(bytes: number): number {
    const size = roundUp(bytes + BEHIND);
    const index = this.free.findIndex((block) => block.size >= size);
    const block = this.free[index];
    let at: number;
    if (block) {
      at = block.at;
      block.at += size;
      block.size -= size;
      if (!block.size) this.free.splice(index, 1);
    } else at = this.grow(size);
    this.sizes.set(at, size);
    return at;
  }

  /** Give room back. */
  give(...places: number[]): void {
    for (const at of places) {
      const size = this.sizes.get(at);
      if (size === undefined) throw new Error(`nothing was taken at ${at}`);
      this.sizes.delete(at);
      let i = this.free.findIndex((block) => block.at > at);
      if (i < 0) i = this.free.length;
      this.free.splice(i, 0, { at, size });
      for (const j of [i, i - 1]) {
        const [one, next] = [this.free[j], this.free[j + 1]];
        if (one && next && one.at + one.size === next.at) {
          one.size += next.size;
          this.free.splice(j + 1, 1);
        }
      }
    }
    const last = this.free.at(-1);
    if (last && last.at + last.size === this.top) {
      this.top = last.at;
      this.free.pop();
    }
  }

  private grow(size: number): number {
    const at = this.top;
    const end = at + size;
    if (end > this.most) throw new LimitExceeded('maxMemory', end, this.most);
    const pages = Math.ceil((end - this.size) / PAGE);
    if (pages > 0) {
      try {
        this.memory.grow(pages);
      } catch {
        throw new OutOfMemory(`${Math.ceil(end / 2 ** 20)} MiB that the picture takes`);
      }
    }
    this.top = end;
    return at;
  }

  bytes(at: number, n: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.memory.buffer as ArrayBuffer, at, n);
  }

  codes(at: number, n: number): Int8Array {
    return new Int8Array(this.memory.buffer, at, n);
  }

  floats(at: number, n: number): Float32Array {
    return new Float32Array(this.memory.buffer, at, n);
  }

  doubles(at: number, n: number): Float64Array {
    return new Float64Array(this.memory.buffer, at, n);
  }

  /** A copy of an array in the module's memory. */
  put(array: ArrayBufferView): number {
    const at = this.take(array.byteLength);
    this.bytes(at, array.byteLength).set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return at;
  }

  /** Room that holds zeros. */
  zeros(bytes: number): number {
    const at = this.take(bytes);
    this.bytes(at, bytes).fill(0);
    return at;
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / ALIGNED) * ALIGNED;
}
