/** Model packages: what a file names by its model id, fetched part by part. */

import { ContextPlan } from './context.js';
import { ContextWeights } from './contextweights.js';
import { InvalidInput } from './errors.js';
import { DecodingHalf, type Windows } from './painter.js';
import { shown } from './shown.js';
import type { Wasm } from './wasm.js';
import { Arrays } from './weights.js';

/**
 * Gives the parts of a package by name: `model.json`, `decoder.safetensors`, `encoder.safetensors`, and of
 * `context.bin` what stands in front of the arrays, `context-0.bin`, and the arrays of each layer,
 * `context-1.bin` and so on.
 */
export type Parts = (name: string) => Promise<Uint8Array>;

/** A model whose parts come when they are asked for. */
export class Model {
  private readonly parts = new Map<string, Promise<Uint8Array>>();
  private planned: Promise<ContextPlan> | undefined;

  /** @param id in hexadecimal, as in headers */
  constructor(
    readonly id: string,
    private readonly get: Parts,
  ) {}

  /** @throws ModelMissing it cannot be had */
  part(name: string): Promise<Uint8Array> {
    let part = this.parts.get(name);
    if (!part) {
      part = this.get(name);
      this.parts.set(name, part);
      part.catch(() => this.parts.delete(name)); // to be tried again
    }
    return part;
  }

  plan(): Promise<ContextPlan> {
    this.planned ??= this.part('context-0.bin').then((head) => new ContextPlan(head));
    this.planned.catch(() => (this.planned = undefined));
    return this.planned;
  }

  /** Arrays of the context model for a layer, from 0. */
  layer(layer: number): Promise<Uint8Array> {
    return this.part(`context-${layer + 1}.bin`);
  }

  /** Fetch what the first picture takes. */
  prepare(): void {
    for (const name of ['context-0.bin', 'model.json', 'decoder.safetensors', 'context-1.bin'])
      this.part(name).catch(() => undefined); // told where it is used
  }
}

/** Weights of a model in the memory of one instance of the module. */
export class Engine {
  /** Positions that a window of the decoder, and of painter or encoder, reads at most. */
  windows: Windows = { decoder: 4096, painter: 1600 };
  private half: Promise<DecodingHalf> | undefined;
  private readonly layers = new Map<number, Promise<ContextWeights>>();
  private readonly things = new Map<string, unknown>();
  private busy: Promise<unknown> = Promise.resolve();

  constructor(
    readonly wasm: Wasm,
    readonly model: Model,
  ) {}

  /** What was made under this name before, or is made now. */
  made<T>(name: string, make: () => T): T {
    if (!this.things.has(name)) this.things.set(name, make());
    return this.things.get(name) as T;
  }

  decodingHalf(): Promise<DecodingHalf> {
    this.half ??= this.makeHalf();
    this.half.catch(() => (this.half = undefined));
    return this.half;
  }

  layer(layer: number): Promise<ContextWeights> {
    let weights = this.layers.get(layer);
    if (!weights) {
      weights = this.makeLayer(layer);
      this.layers.set(layer, weights);
      weights.catch(() => this.layers.delete(layer));
    }
    return weights;
  }

  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.busy.then(work);
    this.busy = result.catch(() => undefined);
    return result;
  }

  private async makeHalf(): Promise<DecodingHalf> {
    const { model, wasm } = this;
    const [table, file, plan] = await Promise.all([
      model.part('model.json'),
      model.part('decoder.safetensors'),
      model.plan(),
    ]);
    const half = new DecodingHalf(wasm, parseTable(table), new Arrays(file, 'decoder.safetensors'));
    const codes = plan.layers.map((layer) => layer.codes);
    if (String(codes) !== String(half.table.codes))
      throw new InvalidInput(`model ${model.id}: context.bin is for codes ${codes}, not ${half.table.codes}`);
    return half;
  }

  private async makeLayer(layer: number): Promise<ContextWeights> {
    const [plan, data] = await Promise.all([this.model.plan(), this.model.layer(layer)]);
    return new ContextWeights(this.wasm, plan, layer, data);
  }
}

/** @throws InvalidInput it is no object in JSON */
export function parseTable(data: Uint8Array): Record<string, unknown> {
  try {
    const table: unknown = JSON.parse(new TextDecoder().decode(data));
    if (table && typeof table === 'object') return table as Record<string, unknown>;
  } catch {
    // told below
  }
  throw new InvalidInput('the table of a model is not an object in JSON');
}

/** @throws InvalidInput a caller names a model by something else than its id */
export function checkId(id: string): string {
  if (typeof id !== 'string' || !/^[0-9a-f]{8}$/.test(id))
    throw new InvalidInput(`model must be an id of eight hexadecimal digits, got ${shown(id)}`);
  return id;
}
