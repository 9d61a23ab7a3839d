import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import puppeteer from 'puppeteer-core';
import { build } from 'vite';

import * as rgru from '../src/node.js';
import { BROWSERS, found } from './browsers.js';
import { madePicture, makeModel } from './made.js';
import { serve } from './server.js';
import { WEB } from './tools.js';

const PROGRAM = `
import { decode } from 'rgru';
import 'rgru/element';
const bitmap = await decode(await (await fetch('./picture.rgru')).blob(), { models: './models/' });
document.title = [bitmap.width, bitmap.height].join('x');
`;
const PAGE = `<!doctype html><html lang="en"><title>not yet</title>
<rgru-image src="./picture.rgru" alt="soft shapes" models="./models/"></rgru-image>
<script type="module" src="./program.js"></script></html>`;

/** What a user does: installs the package as `npm pack` makes it, imports it, builds, and serves the folder. */
test('a page that vite builds of the package decodes and has the element', async (context) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rgru-vite-'));
  context.after(() => fs.rmSync(folder, { recursive: true }));
  const place = path.join(folder, 'node_modules/rgru');
  fs.mkdirSync(place, { recursive: true });
  execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder], { cwd: WEB });
  const packed = fs.readdirSync(folder).find((name) => name.endsWith('.tgz')) as string;
  execFileSync('tar', ['-xzf', path.join(folder, packed), '-C', place, '--strip-components', '1']);
  fs.writeFileSync(path.join(folder, 'package.json'), '{"type": "module"}');
  fs.writeFileSync(path.join(folder, 'program.js'), PROGRAM);
  fs.writeFileSync(path.join(folder, 'index.html'), PAGE);
  await build({ root: folder, base: './', logLevel: 'error', build: { target: 'es2022' } });
  const built = path.join(folder, 'dist');
  assert.deepEqual(fs.readdirSync(built).sort(), ['assets', 'index.html']);

  const executablePath = found(BROWSERS[0][1]);
  if (!executablePath) return context.skip('no chromium here: what vite built is not opened');
  const packages = path.join(folder, 'packages');
  const model = makeModel(packages);
  await rgru.packModel(path.join(packages, model), path.join(built, 'models'));
  const file = await rgru.encode(madePicture(96, 64), { models: packages, model });
  fs.writeFileSync(path.join(built, 'picture.rgru'), file);
  const host = await serve(built);
  const browser = await puppeteer.launch({ executablePath, headless: true, args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(120000); // machines are busy at times
    await page.goto(`${host.url}index.html`);
    await page.waitForFunction(() => document.title === '96x64');
    await page.waitForFunction(
      () => document.querySelector('rgru-image')?.shadowRoot?.querySelector('canvas')?.width === 96,
    );
  } finally {
    await browser.close();
    host.close();
  }
});
