import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

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

test('encoding finds the codes of the reference engine', { skip }, async () => {
  const models = path.join(folder as string, 'models');
  const { width, height, model } = JSON.parse(fs.readFileSync(path.join(folder as string, 'photo.json'), 'utf8'));
  const rgb = read('photo.rgb');
  const data = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i++) data.set([...rgb.subarray(3 * i, 3 * i + 3), 255], 4 * i);
  const file = await encode({ width, height, data }, { models, model });
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
