import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { InvalidInput } from '../src/errors.js';
import { DecodingTable } from '../src/table.js';
import { Arrays, packArrays } from '../src/weights.js';
import { start, WEB } from './tools.js';

const compiler =
  spawnSync('clang-19', ['--version']).status === 0 && spawnSync('wasm-ld-19', ['--version']).status === 0;
const skip = compiler
  ? false
  : 'no clang-19 and wasm-ld-19 here: the committed modules are not compared with their source';

test('the committed modules are what their source gives', { skip }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rgru-'));
  execFileSync('sh', [path.join(WEB, 'wasm/build.sh'), folder]);
  for (const name of ['simd.wasm', 'relaxed.wasm'])
    assert.ok(
      fs.readFileSync(path.join(folder, name)).equals(fs.readFileSync(path.join(WEB, 'wasm', name))),
      `${name}: run web/wasm/build.sh`,
    );
  fs.rmSync(folder, { recursive: true });
});

test('memory that is given back is used again', async () => {
  const wasm = await start();
  const size = wasm.size;
  for (let round = 0; round < 20; round++) {
    const places = Array.from({ length: 50 }, (_, i) => wasm.take(1 + ((i * 7919 + round) % 20000)));
    assert.equal(new Set(places).size, places.length);
    places.sort((a, b) => ((a * 31) % 97) - ((b * 31) % 97)).forEach((place) => wasm.give(place));
  }
  assert.ok(wasm.size <= size + 2 ** 20, `${wasm.size} bytes`);
  assert.throws(() => wasm.give(12345));
});

test('hostile files of weights are refused', () => {
  const good = packArrays({
    a: { shape: [2, 3], values: new Float32Array(6) },
    b: { shape: [1], values: Float32Array.of(1) },
  });
  assert.equal(new Arrays(good, 'x').arrays.size, 2);
  const bad: Uint8Array[] = [
    new Uint8Array(0),
    good.subarray(0, 7),
    good.subarray(0, 20),
    good.subarray(0, -1),
    Uint8Array.of(...good, 0),
  ];
  const swapped = (from: string, to: string): Uint8Array =>
    Uint8Array.from(Buffer.from(good).toString('latin1').replace(from, to), (c) => c.charCodeAt(0));
  bad.push(
    swapped('"F32"', '"I32"'),
    swapped('[2,3]', '[9,9]'),
    swapped('[0,24]', '[4,24]'),
    swapped('{', ' '),
    swapped('[2,3]', '[-2,]'),
  );
  for (const file of bad) assert.throws(() => new Arrays(file, 'x'), InvalidInput);
});

test('tables that do not fit SPEC are refused', () => {
  const fine = {
    codes: [4, 6],
    decoder: [{ kind: 'rnn', depth: 5 }],
    painter: [
      { kind: 'conv', depth: 768 },
      { kind: 'depth_to_space', factor: 16 },
    ],
  };
  assert.equal(new DecodingTable(fine).pairs, 3);
  const bad: Record<string, unknown>[] = [
    { codes: [] },
    { codes: [3] },
    { codes: [4, 2048] },
    { codes: 'all' },
    { decoder: [] },
    { decoder: [{ kind: 'conv', depth: 5 }] },
    { decoder: [{ kind: 'rnn' }] },
    { decoder: [{ kind: 'rnn', depth: 5, stride: 2 }] },
    { decoder: [{ kind: 'rnn', depth: 1e9 }] },
    { decoder: [{ kind: 'rnn', depth: 5, hidden: 2.5 }] },
    { decoder: [{ kind: 'rnn', depth: 5, leaky: true }] },
    { decoder: [{ kind: 'rnn', depth: 5 }, { kind: 'picture' }] },
    { decoder: [null] },
    { painter: [{ kind: 'conv', depth: 768 }] },
    { painter: [{ kind: 'depth_to_space', factor: 16 }] },
    { painter: [{ kind: 'conv', depth: 3, activation: 'tanh' }] },
    { painter: {} },
  ];
  for (const change of bad)
    assert.throws(() => new DecodingTable({ ...fine, ...change }), InvalidInput, JSON.stringify(change));
});
