import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { decode, decodeCodes } from '../src/node.js';
import { unpackPng } from './png.js';
import { sha256, VECTORS, WEB } from './tools.js';

/** Where models of vectors may be: beside them, or released. */
const HOMES = [path.join(VECTORS, 'models'), path.join(WEB, '../rgru_codec/weights')];

interface Described {
  model: string;
  grey: boolean;
  alpha: boolean;
  layers: string[];
  tolerance: { rms: number; largest: number };
}

test('pixels vectors stay within their tolerance', async (t) => {
  const folder = path.join(VECTORS, 'pixels');
  for (const name of fs.readdirSync(folder).filter((file) => file.endsWith('.rgru'))) {
    const file = path.join(folder, name);
    const described = JSON.parse(fs.readFileSync(file.replace(/rgru$/, 'json'), 'utf8')) as Described;
    const models = HOMES.find((home) => fs.existsSync(path.join(home, described.model, 'decoder.safetensors')));
    const skip = models ? false : `model ${described.model} is not here in the written form`;
    await t.test(name, { skip }, async () => {
      const data = new Uint8Array(fs.readFileSync(file));
      const codes = await decodeCodes(data, { models: models as string });
      assert.deepEqual(codes.map(sha256), described.layers);
      const { pixels, width, height } = await decode(data, { models: models as string });
      const expected = unpackPng(fs.readFileSync(file.replace(/rgru$/, 'png')));
      assert.deepEqual([width, height], [expected.width, expected.height]);
      const shown = described.grey ? (described.alpha ? [0, 3] : [0]) : described.alpha ? [0, 1, 2, 3] : [0, 1, 2];
      assert.equal(shown.length, expected.channels);
      let [sum, most] = [0, 0];
      for (let i = 0; i < expected.data.length; i++) {
        const at = 4 * Math.floor(i / shown.length) + (shown[i % shown.length] as number);
        const difference = Math.abs((expected.data[i] as number) - (pixels[at] as number));
        sum += difference ** 2;
        most = Math.max(most, difference);
      }
      const rms = Math.sqrt(sum / expected.data.length);
      assert.ok(rms <= described.tolerance.rms && most <= described.tolerance.largest, `rms ${rms}, largest ${most}`);
    });
  }
});
