/** Instances of the module with a model in each, shared by all that is decoded at the same time. */

import { Engine, type Model } from './model.js';
import { startWasm } from './modules.js';

/** An instance that has grown beyond is not kept: memory that wasm has taken is never given back. */
const MOST_KEPT = 160 * 2 ** 20;

const shared = new Map<Model, Promise<Engine>>();

/** An engine for one piece of work. */
export class Lease {
  private model: Model | undefined;
  private engine: Engine | undefined;

  /** @param maxMemory bytes that an instance may take */
  constructor(
    private readonly findModel: (id: string) => Model,
    private readonly maxMemory: number,
  ) {}

  /** The engine for a model. */
  readonly find = async (id: string): Promise<Engine> => {
    const model = this.findModel(id);
    let engine = shared.get(model);
    if (!engine || (await engine).wasm.most !== this.maxMemory) {
      engine = startWasm(this.maxMemory).then((wasm) => new Engine(wasm, model));
      shared.set(model, engine);
    }
    this.model = model;
    this.engine = await engine;
    return this.engine;
  };

  /** @param clean whether all memory was given back: work that fails leaves it where it is */
  async end(clean: boolean): Promise<void> {
    const { model, engine } = this;
    if (!model || !engine || (clean && engine.wasm.size <= MOST_KEPT)) return;
    if ((await shared.get(model)) === engine) shared.delete(model);
  }
}

/** Hands on what `work` yields; the lease ends clean if it was not left in the middle of a step. */
export async function* leased<T>(lease: Lease, work: AsyncIterable<T>): AsyncGenerator<T, void> {
  let clean = false;
  try {
    for await (const value of work) {
      clean = true;
      yield value;
      clean = false;
    }
    clean = true;
  } finally {
    await lease.end(clean);
  }
}
