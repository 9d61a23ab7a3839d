import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { Engine, type Model } from '../src/model.js';
import { modelInFolder } from '../src/folder.js';
import { decodeFile } from '../src/decode.js';
import { encodeFile } from '../src/encode.js';
import { joined } from '../src/container.js';
import * as rgru from '../src/node.js';
import { piecesOf } from '../src/source.js';
import { madePicture, makeModel } from './made.js';
import { start, WEB } from './tools.js';

let models: string;
let model: string;
const picture = madePicture(203, 141);
let file: Uint8Array;

before(async () => {
  models = fs.mkdtempSync(path.join(os.tmpdir(), 'rgru-'));
  model = makeModel(models);
  file = await rgru.encode(picture, { models, model, layers: 'all' });
});
after(() => fs.rmSync(models, { recursive: true }));

function psnr(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] as number) - (b[i] as number)) ** 2;
  return 10 * Math.log10((255 ** 2 * a.length) / sum);
}

async function* inPieces(data: Uint8Array, sizes: () => number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length;) yield data.subarray(at, (at += sizes()));
}

async function all<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const value of values) list.push(value);
  return list;
}

/** Pseudo-random numbers below n. */
function random(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

test('each layer makes a better picture', async () => {
  let last = 10;
  for await (const { layers, pixels, bytes, groups } of rgru.decodeStream(file, { models })) {
    const now = psnr(pixels, picture.data);
    assert.ok(now > last, `${layers} layers: ${now} after ${last}`);
    assert.equal(groups, 0);
    assert.ok(bytes <= file.length);
    last = now;
  }
  assert.ok(last > 25, String(last));
});

test('a file is a prefix of the file with more layers', async () => {
  const short = await rgru.encode(picture, { models, model, layers: 3 });
  assert.deepEqual(short, file.subarray(0, short.length));
  const small = await rgru.encode(picture, { models, model, maxBytes: short.length + 1 });
  assert.deepEqual(small, short);
  const one = await rgru.decode(file, { models, layers: 3 });
  const other = await rgru.decode(short, { models });
  assert.deepEqual(one, other);
});

test('pieces in which a file arrives change nothing', async () => {
  const whole = await all(rgru.decodeStream(file, { models }));
  const next = random(7);
  for (const sizes of [() => 1, () => 1 + next(300), () => 1 + next(9)])
    assert.deepEqual(await all(rgru.decodeStream(inPieces(file, sizes), { models })), whole);
});

test('a file that ends anywhere shows what is there', async () => {
  let last = 0;
  for (let end = 21; end < file.length; end += 137) {
    const { layers, pixels } = await rgru.decode(file.subarray(0, end), { models });
    assert.ok(layers >= last);
    last = layers;
    if (!layers) continue;
    assert.ok(psnr(pixels, picture.data) > 15);
  }
});

test('groups of a layer that is not whole are used', async () => {
  const ends: [number, number][] = [];
  for await (const { bytes, layers } of rgru.decodeStream(file, { models })) ends.push([bytes, layers]);
  const [[first], [second]] = ends as [[number, number], [number, number]];
  for (let end = first + 1; end < second; end++) {
    const found = await rgru.decode(file.subarray(0, end), { models });
    if (!found.groups) continue;
    const before = await rgru.decode(file.subarray(0, first), { models });
    assert.equal(found.layers, 1);
    assert.ok(psnr(found.pixels, picture.data) > psnr(before.pixels, picture.data));
    return;
  }
  assert.fail('no group was used');
});

test('damaged files end in an error of rgru, and what came before is shown', async () => {
  const next = random(3);
  for (let i = 0; i < 60; i++) {
    const bad = file.slice();
    for (let n = 0; n < 1 + next(3); n++) {
      const at = next(bad.length);
      bad[at] = (bad[at] as number) ^ (1 << next(8));
    }
    let shown = 0;
    try {
      for await (const { layers } of rgru.decodeStream(bad, { models })) shown = layers;
    } catch (error) {
      assert.ok(error instanceof rgru.RgruError, String(error));
      if (error instanceof rgru.Damaged && error.layer) assert.ok(shown <= error.layer);
    }
  }
});

test('of a damaged file, what comes before the damage can be had', async () => {
  const bad = file.slice();
  bad[bad.length - 5] = (bad[bad.length - 5] as number) ^ 1;
  await assert.rejects(rgru.decode(bad, { models }), rgru.Damaged);
  const found = await rgru.decode(bad, { models, partial: true });
  assert.equal(found.layers, 7);
  assert.ok(found.groups > 0);
  await assert.rejects(rgru.decode(bad.subarray(0, 20), { models, partial: true }), rgru.Damaged);
});

test('limits are kept before memory is taken', async () => {
  await assert.rejects(rgru.decode(file, { models, limits: { maxPixels: 100 } }), rgru.LimitExceeded);
  await assert.rejects(rgru.decode(file, { models, limits: { maxMemory: 2 ** 20 } }), rgru.LimitExceeded);
  await assert.rejects(rgru.encode(picture, { models, model, limits: { maxPixels: 100 } }), rgru.LimitExceeded);
});

test('limits and numbers of layers that mean nothing are refused', async () => {
  await rgru.decode(file, { models, limits: {}, layers: undefined });
  for (const value of [NaN, -1, '10M', null, {}] as number[]) {
    if (value !== null)
      await assert.rejects(rgru.decode(file, { models, limits: { maxPixels: value } }), rgru.InvalidInput);
    await assert.rejects(rgru.decode(file, { models, layers: value }), rgru.InvalidInput);
  }
  await assert.rejects(rgru.decode(file, { models, layers: 2.5 }), rgru.InvalidInput);
  for (const pictures of ['first', '', 1, null] as unknown as 'all'[])
    await assert.rejects(all(rgru.decodeStream(file, { models, pictures })), rgru.InvalidInput);
  await assert.rejects(rgru.encode(picture, { models, model, limits: { maxMemory: NaN } }), rgru.InvalidInput);
  const misspelt: object = { maxPixel: 100 };
  await assert.rejects(rgru.decode(file, { models, limits: misspelt }), {
    message: "limits: 'maxPixel' is none of maxPixels, maxMetadataBytes, maxMemory",
  });
});

test('options of another type than they say are refused, with what was given', async () => {
  const both = { limits: [1e7, '10M', true], layers: ['3', NaN, true, [3], 3n, null] };
  const reading = { ...both, partial: ['no', 1, null] };
  const writing = {
    ...both,
    msssim: ['.9', [0.9], NaN, true, null, 0, 1],
    maxBytes: ['9999', [9999], NaN, true, null, 0],
    encoder: [5, true, null, ['default']],
  };
  for (const [name, value] of each(reading)) {
    const options = { models, [name]: value } as unknown as rgru.DecodeOptions & rgru.Models;
    await assert.rejects(rgru.decode(file, options), refusal(name, value), `${name} ${String(value)}`);
    await assert.rejects(rgru.decodeCodes(file, options), refusal(name, value));
  }
  for (const [name, value] of each(writing)) {
    const options = { models, model, [name]: value } as rgru.EncodeOptions & rgru.Models & { model: string };
    await assert.rejects(rgru.encode(picture, options), refusal(name, value), `${name} ${String(value)}`);
  }
  for (const id of [12345678, [model], Symbol('x')] as unknown as string[])
    await assert.rejects(rgru.encode(picture, { models, model: id }), refusal('model', id));
  await assert.rejects(
    rgru.encode(picture, { models, model, msssim: '.9' as unknown as number }),
    /^InvalidInput: msssim must be a number between 0 and 1, got '.9'$/,
  );
});

function each(values: Record<string, unknown[]>): [string, unknown][] {
  return Object.entries(values).flatMap(([name, list]) => list.map((value): [string, unknown] => [name, value]));
}

/** The error that names an option and what it was given. */
function refusal(name: string, value: unknown): RegExp {
  const given = typeof value === 'string' ? `'${value}'` : Array.isArray(value) ? 'an object' : String(value);
  return new RegExp(`^InvalidInput: ${name} must be .*, got ${given.replace(/[().]/g, '\\$&')}n?$`);
}

test('a picture comes also of no layers, whichever pictures are asked for', async () => {
  assert.equal((await rgru.decode(file, { models, layers: 0 })).layers, 0);
  for (const nothing of [new Uint8Array(0), file.subarray(0, 9)])
    await assert.rejects(rgru.decode(nothing, { models, layers: 0 }), rgru.RgruError);
  const asked = { models, pictures: 'none' } as rgru.DecodeOptions & rgru.Models;
  assert.equal((await rgru.decode(file, asked)).layers, 8);
  assert.equal((await rgru.decodeCodes(file, { ...asked, pictures: 'all' })).length, 8);
});

test('models and encoders that are named wrong are told by what was named', async () => {
  for (const options of [undefined, {}, { models: '' }, { models: 7 }] as unknown as (rgru.Models & {
    model: string;
  })[]) {
    await assert.rejects(rgru.decode(file, options), /^InvalidInput: models must be/);
    await assert.rejects(rgru.encode(picture, options), /^InvalidInput: models must be/);
  }
  for (const named of [undefined, '../x', 'DEADBEEF'] as string[])
    await assert.rejects(rgru.encode(picture, { models, model: named }), /^InvalidInput: model must be an id/);
  await assert.rejects(
    rgru.encode(picture, { models, model, encoder: 'none' }),
    /^InvalidInput: .* has no encoder-none/,
  );
  for (const encoder of ['../x', 'a/b', ''])
    await assert.rejects(rgru.encode(picture, { models, model, encoder }), /^InvalidInput: '.*' is no name/);
});

test('a number of bytes that cannot be met is told', async () => {
  for (const maxBytes of [10, 30, 0, -5, NaN, '20k'] as number[])
    await assert.rejects(rgru.encode(picture, { models, model, maxBytes }), rgru.InvalidInput);
});

test('pixels that are no levels are refused', async () => {
  for (const data of [
    new Float32Array(16),
    new Uint16Array(16),
    Array(16).fill(0),
    undefined,
  ] as unknown as Uint8Array[])
    await assert.rejects(rgru.encode({ width: 2, height: 2, data }, { models, model }), rgru.InvalidInput);
});

test('pieces of a file that are no bytes are refused', async () => {
  for (const piece of [file.buffer, 'text', null])
    await assert.rejects(
      rgru.decode(new Blob([file.slice()]).stream().pipeThrough(changed(piece)), { models }),
      rgru.InvalidInput,
    );
});

function changed(piece: unknown): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({ transform: (_, to) => to.enqueue(piece as Uint8Array) });
}

test('a folder that holds another model, or a changed one, is told', async () => {
  const other = fs.mkdtempSync(path.join(os.tmpdir(), 'rgru-'));
  const place = path.join(other, model);
  fs.cpSync(path.join(models, model), place, { recursive: true });
  const weights = fs.readFileSync(path.join(place, 'decoder.safetensors'));
  weights[weights.length - 1] = (weights[weights.length - 1] as number) ^ 1;
  fs.writeFileSync(path.join(place, 'decoder.safetensors'), weights);
  await assert.rejects(rgru.decode(file, { models: other }), /its files give the id [0-9a-f]{8}/);
  await rgru.packModel(path.join(models, model), other);
  fs.rmSync(path.join(place, 'context.bin'));
  fs.copyFileSync(path.join(place, 'context-2.bin.zlib'), path.join(place, 'context-1.bin.zlib'));
  await assert.rejects(rgru.decode(file, { models: other }), /context-1.bin: not what parts.json says/);
  fs.rmSync(other, { recursive: true });
});

test('rgru-pack-model writes a whole model or nothing, of one package', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rgru-'));
  const pack = (...words: string[]): number | null =>
    spawnSync('node', [path.join(WEB, 'bin/rgru-pack-model.mjs'), ...words]).status;
  const [from, to] = [path.join(folder, 'package'), path.join(folder, 'page')];
  fs.cpSync(path.join(models, model), from, { recursive: true });
  const results = [pack('--help'), pack(from), pack(from, to, to)];
  fs.writeFileSync(path.join(from, 'model.json'), '[');
  assert.deepEqual([...results, pack(from, to), fs.existsSync(to)], [0, 2, 2, 1, false]);
  assert.equal(pack(path.join(models, model), to), 0);
  assert.deepEqual(fs.readdirSync(to).sort(), [model, 'default'].sort());
  fs.rmSync(folder, { recursive: true });
});

test('a model that is not there is told by its id', async () => {
  await assert.rejects(rgru.decode(file, { models: path.join(models, 'none') }), (error: Error) => {
    assert.ok(error instanceof rgru.ModelMissing);
    assert.equal(error.modelId, model);
    return true;
  });
});

test('work can be cancelled', async () => {
  const cancel = new AbortController();
  const large = rgru.encode(madePicture(4000, 3000), { models, model, signal: cancel.signal });
  setTimeout(() => cancel.abort(), 50);
  const began = performance.now();
  await assert.rejects(large, { name: 'AbortError' });
  assert.ok(performance.now() - began < 8000, 'it went on'); // all of it would take longer
  assert.deepEqual(await rgru.encode(picture, { models, model, layers: 'all' }), file);
});

test('a signal that is no AbortSignal is refused, and the stream stays as it was', async () => {
  for (const given of [new AbortController(), {}, 'stop', 5, true, new EventTarget()]) {
    const options = { models, model, signal: given as AbortSignal };
    const stream = new Blob([file.slice()]).stream();
    const refused = /^InvalidInput: signal must be an AbortSignal, as the signal of an AbortController is, got /;
    await assert.rejects(rgru.decode(stream, options), refused);
    assert.equal(stream.locked, false);
    await assert.rejects(rgru.decodeCodes(file, options), refused);
    await assert.rejects(rgru.encode(picture, options), refused);
  }
  const none = { models, signal: null as unknown as AbortSignal };
  assert.equal((await rgru.decode(file, none)).layers, 8);
});

test('work can be cancelled while nothing arrives, and the source is told', { timeout: 20000 }, async () => {
  for (const pieces of [[], [file.subarray(0, 500)]]) {
    let told = false;
    const stalled = new ReadableStream<Uint8Array>({
      start: (to) => pieces.forEach((piece) => to.enqueue(piece)),
      cancel: () => void (told = true),
    });
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 100);
    await assert.rejects(rgru.decode(stalled, { models, signal: stop.signal }), { name: 'AbortError' });
    assert.ok(told);
  }
});

test('alpha is kept as it is', async () => {
  const data = picture.data.slice();
  for (let i = 0; i < data.length; i += 4) data[i + 3] = (i >> 4) & 255;
  const { pixels } = await rgru.decode(await rgru.encode({ ...picture, data }, { models, model, layers: 2 }), {
    models,
  });
  for (let i = 3; i < data.length; i += 4) assert.equal(pixels[i], data[i]);
});

test('windows give what one pass gives', async () => {
  const all = await encodedAndShown(() => new Windowed(Infinity));
  const some = await encodedAndShown(() => new Windowed(40));
  assert.deepEqual(some.file, all.file);
  all.shown.forEach((pixels, t) =>
    pixels.forEach((level, i) => assert.ok(Math.abs(level - (some.shown[t]?.[i] as number)) <= 1)),
  );
});

/** An engine whose windows read so many positions at most. */
class Windowed {
  constructor(readonly most: number) {}

  async make(found: Model): Promise<Engine> {
    const engine = new Engine(await start(), found);
    engine.windows = { decoder: this.most, painter: this.most };
    return engine;
  }
}

async function encodedAndShown(maker: () => Windowed): Promise<{ file: Uint8Array; shown: Uint8ClampedArray[] }> {
  const engine = await maker().make(modelInFolder(models, model));
  const pieces: Uint8Array[] = [];
  for await (const { piece } of encodeFile(picture, async () => engine, { layers: 4 })) pieces.push(piece);
  const shown: Uint8ClampedArray[] = [];
  for await (const { pixels } of decodeFile(piecesOf(joined(pieces)), async () => engine)) shown.push(pixels);
  return { file: joined(pieces), shown };
}

test('three layers fetch three layers of the context model', async () => {
  const folder = path.join(models, 'page');
  assert.equal(await rgru.packModel(path.join(models, model), folder), model);
  const asked: string[] = [];
  const server = http.createServer(({ url }, response) => {
    asked.push(path.basename(url as string));
    fs.readFile(path.join(folder, url as string), (error, data) => {
      response.statusCode = error ? 404 : 200;
      response.end(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const short = await rgru.encode(picture, { models, model, layers: 3 });
  assert.deepEqual(await rgru.decode(short, { models: base }), await rgru.decode(short, { models }));
  const parts = [
    'context-0.bin',
    'context-1.bin',
    'context-2.bin',
    'context-3.bin',
    'decoder.safetensors',
    'model.json',
  ];
  assert.deepEqual(asked.sort(), [...parts.map((name) => `${name}.zlib`), 'parts.json'].sort());
  for (const place of [base, folder])
    await assert.rejects(
      rgru.encode(picture, { models: place, model, encoder: 'none' }),
      /^InvalidInput: .* has no enc/,
    );
  fs.rmSync(path.join(folder, model, 'context-4.bin.zlib'));
  let shown = 0;
  await assert.rejects(async () => {
    for await (const { layers } of rgru.decodeStream(file, { models: base })) shown = layers;
  }, rgru.ModelMissing);
  assert.equal(shown, 3);
  server.close();
});
