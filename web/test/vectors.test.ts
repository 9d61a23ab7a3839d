import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { ALPHA } from '../src/boxes.js';
import { unpackAlpha } from '../src/alpha.js';
import { Codes } from '../src/codes.js';
import { splitContext } from '../src/context.js';
import { ContextWeights } from '../src/contextweights.js';
import type { Header } from '../src/container.js';
import { Damaged, ModelMissing, RgruError } from '../src/errors.js';
import { gridSize } from '../src/limits.js';
import { Pace } from '../src/pace.js';
import { Reader } from '../src/reader.js';
import { Wasm } from '../src/wasm.js';
import { sha256, start, VECTORS } from './tools.js';

interface Found {
  width: number;
  height: number;
  grey: boolean;
  alpha: boolean;
  boxes: { type: string; sha256: string }[];
  alpha_plane: string | null;
  layers: string[];
  unfinished: { groups: number; codes: string; expectation: string } | null;
  ignored: number;
}

const contexts = new Map<string, Uint8Array>();
for (const name of fs.readdirSync(path.join(VECTORS, 'context'))) {
  const data = new Uint8Array(fs.readFileSync(path.join(VECTORS, 'context', name)));
  contexts.set(createHash('sha256').update(data).digest('hex').slice(0, 8), data);
}

async function codesOf(wasm: Wasm, header: Header, reader: Reader): Promise<Codes> {
  const file = contexts.get(header.model);
  if (!file) throw new ModelMissing(header.model);
  const { plan, layers } = splitContext(file);
  reader.model = plan.layers.map((layer) => layer.groups.map(({ start, stop }) => stop - start));
  const made = new Map<number, ContextWeights>();
  const layer = async (layer: number): Promise<ContextWeights> => {
    const weights = made.get(layer) ?? new ContextWeights(wasm, plan, layer, layers[layer] as Uint8Array);
    made.set(layer, weights);
    return weights;
  };
  return new Codes(
    plan,
    { wasm, layer, exclusive: (work) => work() },
    ...gridSize(header.height, header.width),
    new Pace(),
  );
}

/** What a file holds, in the form of the vectors' descriptions. */
async function decode(wasm: Wasm, data: Uint8Array, step = data.length || 1): Promise<Found> {
  const reader = new Reader();
  const found: Partial<Found> = { boxes: [], alpha_plane: null, layers: [], unfinished: null };
  let codes: Codes | null = null;
  for (let at = 0; at < Math.max(data.length, 1); at += step)
    for await (const event of reader.feed(data.subarray(at, at + step))) {
      if (event.kind === 'header') {
        const { width, height, grey, alpha } = event.header;
        Object.assign(found, { width, height, grey, alpha });
        codes = await codesOf(wasm, event.header, reader);
      } else if (event.kind === 'box') {
        found.boxes?.push({ type: event.box.type, sha256: sha256(event.box.content) });
        if (event.box.type !== ALPHA) continue;
        const { height, width } = reader.header as Header;
        try {
          found.alpha_plane = sha256(await unpackAlpha(event.box.content, height, width));
        } catch (error) {
          throw error instanceof Damaged ? new Damaged(error.reason, event.layer, event.offset) : error;
        }
      } else if (await codes?.decode(event.payload, event.offset)) {
        found.layers?.push(sha256((codes as Codes).wholeCodes()));
      }
    }
  reader.close();
  found.ignored = reader.ignored;
  if (codes?.group) {
    const { groups, at, n } = { groups: codes.group, at: await codes.expectation(), n: codes.currentCodes().length };
    found.unfinished = { groups, codes: sha256(codes.currentCodes()), expectation: sha256(wasm.bytes(at, 4 * n)) };
    wasm.give(at);
  }
  codes?.close();
  return found as Found;
}

const names = (kind: string): string[] =>
  fs.readdirSync(path.join(VECTORS, kind)).filter((name) => name.endsWith('.rgru'));
const read = (kind: string, name: string): [Uint8Array, Record<string, unknown>] => {
  const file = path.join(VECTORS, kind, name);
  return [new Uint8Array(fs.readFileSync(file)), JSON.parse(fs.readFileSync(file.replace(/rgru$/, 'json'), 'utf8'))];
};

test('valid vectors give their digests, whole and byte by byte', async (t) => {
  const wasm = await start();
  for (const name of names('valid'))
    await t.test(name, async () => {
      const [data, { context, ...expected }] = read('valid', name);
      assert.ok(context);
      assert.deepEqual(await decode(wasm, data), expected);
      if (data.length < 20000) assert.deepEqual(await decode(wasm, data, 1), expected);
    });
});

test('codes are written as they were read, byte by byte', async (t) => {
  const wasm = await start();
  for (const name of names('valid'))
    await t.test(name, async () => {
      const [data] = read('valid', name);
      const reader = new Reader();
      let [decoder, encoder]: (Codes | null)[] = [null, null];
      let payloads: Uint8Array[] = [];
      for await (const event of reader.feed(data)) {
        if (event.kind === 'header') {
          encoder = await codesOf(wasm, event.header, reader);
          decoder = await codesOf(wasm, event.header, reader);
        }
        if (event.kind !== 'group' || !decoder || !encoder) continue;
        payloads.push(event.payload);
        if (!(await decoder.decode(event.payload, event.offset))) continue;
        const codes = wasm.put(decoder.wholeCodes());
        assert.deepEqual(await encoder.encode(codes), payloads);
        wasm.give(codes);
        payloads = [];
      }
      decoder?.close();
      encoder?.close();
    });
});

test('invalid vectors are refused with kind, layer and offset', async (t) => {
  const wasm = await start();
  for (const name of names('invalid'))
    await t.test(name, async () => {
      const [data, expected] = read('invalid', name);
      for (const step of [data.length || 1, 1]) {
        const error = await decode(wasm, data, step).then(
          () => assert.fail('it decodes'),
          (error: unknown) => error,
        );
        assert.ok(error instanceof RgruError, String(error));
        const { layer, offset } = error instanceof Damaged ? error : { layer: null, offset: null };
        assert.deepEqual({ error: error.name, layer, offset }, expected);
        if (data.length > 20000) break;
      }
    });
});
