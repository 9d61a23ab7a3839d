import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { WEB } from './tools.js';

const NODE = `
import { decode, type Picture } from 'rgru';
export const picture: Picture = await decode(new Uint8Array(0), { models: 'x', limits: { maxPixels: undefined } });
// @ts-expect-error: a decode of no picture has none to give
await decode(new Uint8Array(0), { models: 'x', pictures: 'none' });
`;
const BROWSER = `
import { decode } from 'rgru';
import { RgruImage } from 'rgru/element';
export const bitmap: ImageBitmap = await decode(new Uint8Array(0), { limits: { maxPixels: undefined } });
export const layer: number = new RgruImage().naturalWidth;
`;
const SIDES = { node: [NODE, { lib: ['es2022'], types: ['node'] }], browser: [BROWSER, { types: [] }] } as const;

for (const [side, moduleResolution, customConditions, name] of [
  ['node', 'nodenext', [], 'rgru'],
  ['node', 'nodenext', [], 'rgru/node'],
  ['node', 'bundler', ['node'], 'rgru'],
  ['node', 'bundler', [], 'rgru/node'],
  ['browser', 'bundler', [], 'rgru'],
  ['browser', 'bundler', [], 'rgru/browser'],
  ['browser', 'nodenext', ['browser'], 'rgru'],
  ['browser', 'nodenext', [], 'rgru/browser'],
] as const)
  test(`users in ${side} have its types, with nothing but its library: ${name} under ${moduleResolution}`, (context) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rgru-types-'));
    context.after(() => fs.rmSync(folder, { recursive: true }));
    fs.mkdirSync(path.join(folder, 'node_modules'));
    fs.symlinkSync(WEB, path.join(folder, 'node_modules/rgru'));
    fs.symlinkSync(path.join(WEB, 'node_modules/@types'), path.join(folder, 'node_modules/@types'));
    const [program, options] = SIDES[side];
    const compilerOptions = {
      ...options,
      module: moduleResolution === 'nodenext' ? 'nodenext' : 'esnext',
      moduleResolution,
      customConditions,
      target: 'es2022',
      strict: true,
      exactOptionalPropertyTypes: true,
      skipDefaultLibCheck: true,
      skipLibCheck: customConditions.length > 0, // it is the same package again
      noEmit: true,
    };
    fs.writeFileSync(path.join(folder, 'package.json'), '{"type": "module"}');
    fs.writeFileSync(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
    fs.writeFileSync(path.join(folder, 'program.ts'), program.replace("'rgru'", `'${name}'`));
    const { stdout } = spawnSync('node', [path.join(WEB, 'node_modules/typescript/bin/tsc'), '-p', folder]);
    assert.equal(String(stdout), '');
  });

test('rgru/browser and rgru/node are the code of their side, whoever asks', () => {
  for (const [name, file] of [
    ['rgru/browser', '/dist/index.js'],
    ['rgru/node', '/dist/node.js'],
  ] as const)
    assert.ok(import.meta.resolve(name).endsWith(file), import.meta.resolve(name));
});
