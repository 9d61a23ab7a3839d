import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { msssim } from '../src/msssim.js';
import { decodeCodes, decodeStream, encode } from '../src/node.js';

const folder = process.env.RGRU_REFERENCE;
const skip = folder ? false : 'RGRU_REFERENCE is not set: tests/web/test_web.py sets it';

const read = (name: string): Uint8Array => new Uint8Array(fs.readFileSync(path.join(folder as string, name)));

test('pictures and codes are those of the reference engine', { skip }, async () => {
  const models = path.join(folder as string, 'models');
  const file = read('photo.rgru');
  const codes = await decodeCodes(file, { models });
  codes.forEach((layer, t) => assert.deepEqual(new Uint8Array(layer.buffer), read(`codes${t + 1}.bin`)));
  for await (const { layers, pixels } of decodeStream(file, { models })) {
    const expected = read(`levels${layers}.bin`);
    let [most, count] = [0, 0];
    for (let i = 0; i < expected.length; i++) {
      const difference = Math.abs((expected[i] as number) - (pixels[Math.floor(i / 3) * 4 + (i % 3)] as number));
      most = Math.max(most, difference);
      count += Number(difference > 0);
    }
    console.log(`layer ${layers}: ${count} of ${expected.length} levels differ, by ${most} at most`);
    assert.ok(most <= 1);
    assert.ok(count < expected.length / 1000);
  }
});

interface Photo {
  width: number;
  height: number;
  model: string;
  /** After each layer. */
  msssim: number[];
}

const photo = (): Photo => JSON.parse(fs.readFileSync(path.join(folder as string, 'photo.json'), 'utf8')) as Photo;

function opaque(rgb: Uint8Array): Uint8ClampedArray {
  const data = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  rgb.forEach((level, i) => (data[4 * Math.floor(i / 3) + (i % 3)] = level));
  return data;
}

test('encoding ends with the layer that is similar enough, by the MS-SSIM of Python', { skip }, async () => {
  const models = path.join(folder as string, 'models');
  const { width, height, model, msssim: expected } = photo();
  const data = opaque(read('photo.rgb'));
  for (const [t, value] of expected.entries()) {
    const found = await msssim(data, opaque(read(`levels${t + 1}.bin`)), width, height);
    assert.ok(Math.abs(found - value) < 1e-5, `layer ${t + 1}: ${found}, not ${value}`);
  }
  const wanted = Math.max(...expected) - 1e-4;
  const file = await encode({ width, height, data }, { models, model, msssim: wanted });
  assert.equal((await decodeCodes(file, { models })).length, expected.findIndex((value) => value >= wanted) + 1);
});

test('encoding finds the codes of the reference engine', { skip }, async () => {
  const models = path.join(folder as string, 'models');
  const { width, height, model } = photo();
  const data = opaque(read('photo.rgb'));
  const file = await encode({ width, height, data }, { models, model, layers: 'all' });
  const codes = await decodeCodes(file, { models });
  let same = true;
  codes.forEach((layer, t) => {
    const expected = read(`codes${t + 1}.bin`);
    const differ = new Uint8Array(layer.buffer).reduce((n, code, i) => n + Number(code !== expected[i]), 0);
    console.log(`layer ${t + 1}: ${differ} of ${expected.length} codes differ`);
    same &&= !differ;
    assert.ok(differ < expected.length / 200); // a sum near 0 may fall to either side, and what follows with it
  });
  if (same) assert.deepEqual(file, read('photo.rgru'));
});
