/** In a browser: decoder and painter of a model for one picture, in this thread, to be timed from outside. */

import { fetchedModel } from '../src/fetchmodel.js';
import { Engine } from '../src/model.js';
import { startWasm } from '../src/modules.js';
import { Pace } from '../src/pace.js';
import { Painter } from '../src/painter.js';
import { hasRelaxedSimd } from '../src/wasm.js';

export class Networks {
  readonly relaxed = hasRelaxedSimd();

  private constructor(
    private readonly painter: Painter,
    private readonly codes: number,
    private readonly channels: number,
  ) {}

  static async of(models: string, id: string, rows: number, columns: number): Promise<Networks> {
    const engine = new Engine(await startWasm(2 ** 31), fetchedModel(models, id));
    const half = await engine.decodingHalf();
    const channels = Math.max(...half.table.codes);
    const size = rows * columns * channels;
    const codes = engine.wasm.take(size);
    engine.wasm.codes(codes, size).forEach((_, i, all) => (all[i] = (i * 7919) % 13 < 6 ? -1 : 1));
    return new Networks(new Painter(half, rows, columns, engine.windows, new Pace()), codes, channels);
  }

  async decoder(runs: number): Promise<void> {
    for (let run = 0; run < runs; run++) {
      this.painter.layers = 0; // its gain: the last layer's would be missing
      await this.painter.addLayer(this.codes, this.channels);
    }
  }

  async paint(runs: number): Promise<void> {
    for (let run = 0; run < runs; run++) await this.painter.paint(() => undefined);
  }
}
