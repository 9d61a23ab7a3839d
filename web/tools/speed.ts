/**
 * Speed in Chromium: node build/speed.mjs PACKAGES ID FILE [all|last] prints, as JSON, when each layer of FILE is shown
 * (milliseconds from the start of fetching engine, weights and file), the largest heap of the worker (MiB: what V8 has
 * of objects, and of buffers, memory of wasm among them, as its inspector tells it from moment to moment), the largest
 * memory of the page's whole process (MiB, the browser's own code and bitmaps included), and milliseconds of processor time of decoder and painter for 768 x 512 pixels. PACKAGES: as pages fetch them.
 */

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import puppeteer, { type Page } from 'puppeteer-core';

import { serve } from '../test/server.js';

const RUNS = 20;
const [packages, id, file, kind = 'all'] = process.argv.slice(2) as [string, string, string, string?];
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rgru-'));
fs.symlinkSync(path.resolve(packages), path.join(folder, 'models'));
fs.copyFileSync(file, path.join(folder, 'picture.rgru'));
fs.writeFileSync(path.join(folder, 'empty.html'), '<!doctype html><title>t</title>');
const host = await serve(folder, '.');
const executablePath = execFileSync('sh', ['-c', 'command -v chromium']).toString().trim();
const browser = await puppeteer.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu'],
  protocolTimeout: 600000,
});

/** Files of /proc of the browser's renderers. */
function renderers(name: string): string[] {
  return fs
    .readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .flatMap((pid) => {
      try {
        const isOne = fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('--type=renderer');
        return isOne ? [fs.readFileSync(`/proc/${pid}/${name}`, 'latin1')] : [];
      } catch {
        return []; // it has ended
      }
    });
}

/** Watches the heap of the worker that decodes; returns what tells its largest size so far. */
function watched(page: Page): () => { objects: number; buffers: number; both: number } {
  const most = { objects: 0, buffers: 0, both: 0 };
  page.on('workercreated', (worker) => {
    const timer = setInterval(() => {
      worker.client.send('Runtime.getHeapUsage').then(
        ({ usedSize, backingStorageSize }) => {
          const all = { objects: usedSize, buffers: backingStorageSize, both: usedSize + backingStorageSize };
          for (const key of ['objects', 'buffers', 'both'] as const)
            most[key] = Math.max(most[key], Math.round(all[key] / 2 ** 20));
        },
        () => clearInterval(timer),
      );
    }, 20);
    page.on('close', () => clearInterval(timer));
  });
  return () => most;
}

/** Largest resident memory of a renderer, in MiB. */
function memory(): number {
  return Math.round(
    Math.max(...renderers('status').map((text) => Number(/VmHWM:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1024)),
  );
}

/** Milliseconds of processor time of all renderers. */
function spent(): number {
  const ticks = renderers('stat').map((text) =>
    text
      .slice(text.lastIndexOf(')'))
      .split(' ')
      .slice(12, 14)
      .reduce((sum, n) => sum + Number(n), 0),
  );
  return 10 * ticks.reduce((sum, n) => sum + n, 0);
}

try {
  const page = await browser.newPage();
  const heap = watched(page);
  await page.goto(`${host.url}empty.html`);
  const shown = await page.evaluate(async (pictures) => {
    const library = '/dist/index.js';
    const began = performance.now();
    const { decodeStream } = (await import(library)) as typeof import('../src/index.js');
    const body = (await fetch('/picture.rgru')).body as ReadableStream<Uint8Array>;
    const all: number[] = [];
    for await (const { bitmap } of decodeStream(body, { models: '/models/', pictures: pictures as 'all' })) {
      all.push(Math.round(performance.now() - began));
      bitmap.close();
    }
    return all;
  }, kind);
  const [peak, most] = [memory(), heap()];
  const networks = await page.evaluateHandle(async (model) => {
    const script = '/build/networks.js';
    const { Networks } = (await import(script)) as typeof import('./networks.js');
    return Networks.of(`${location.origin}/models/`, model, 32, 48);
  }, id);
  const relaxed = await networks.evaluate((one) => one.relaxed);
  const timed = async (what: 'decoder' | 'paint'): Promise<number> => {
    await networks.evaluate((one, kind) => one[kind](3), what);
    const before = spent();
    await networks.evaluate((one, kind, runs) => one[kind](runs), what, RUNS);
    return (spent() - before) / RUNS;
  };
  console.log(
    JSON.stringify({
      shown,
      heap: most,
      memory: peak,
      relaxed,
      decoder: await timed('decoder'),
      painter: await timed('paint'),
    }),
  );
} finally {
  await browser.close();
  host.close();
  fs.rmSync(folder, { recursive: true });
}
