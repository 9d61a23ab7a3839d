import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import puppeteer, { type Browser, type Page } from 'puppeteer-core';

import * as rgru from '../src/node.js';
import { BROWSERS, found } from './browsers.js';
import { madePicture, makeModel } from './made.js';
import { packPng } from './png.js';
import { serve } from './server.js';
import { WEB } from './tools.js';

const WIDTHS = [360, 820, 1400];

let folder: string;
let model: string;
let host: { url: string; close: () => void };
const picture = madePicture(512, 352);
let file: Uint8Array;
let levels: rgru.Picture[];

before(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rgru-'));
  const models = path.join(folder, 'packages');
  model = makeModel(models);
  await rgru.packModel(path.join(models, model), path.join(folder, 'models'));
  fs.writeFileSync(path.join(folder, 'models/default'), `${model}\n`);
  file = await rgru.encode(picture, { models, model, layers: 'all' });
  levels = [];
  for await (const one of rgru.decodeStream(file, { models })) levels.push(one);
  levels.forEach(({ pixels }, i) => fs.writeFileSync(path.join(folder, `levels${i + 1}`), pixels));
  fs.writeFileSync(path.join(folder, 'picture.rgru'), file);
  fs.writeFileSync(path.join(folder, 'picture.png'), packPng(picture));
  fs.writeFileSync(path.join(folder, 'large.png'), packPng(madePicture(1800, 1200)));
  fs.writeFileSync(path.join(folder, 'cut.rgru'), file.subarray(0, file.length / 2));
  fs.writeFileSync(path.join(folder, 'short.rgru'), file.subarray(0, 15));
  const damaged = file.slice();
  damaged[damaged.length - 9] = (damaged[damaged.length - 9] as number) ^ 1;
  fs.writeFileSync(path.join(folder, 'damaged.rgru'), damaged);
  fs.writeFileSync(
    path.join(folder, 'empty.html'),
    '<!doctype html><html lang="en"><title>t</title><body></body></html>',
  );
  execFileSync('node', ['build.mjs', 'site', path.join(folder, 'site')], { cwd: WEB });
  fs.cpSync(path.join(folder, 'models'), path.join(folder, 'site/models'), { recursive: true });
  for (const kind of ['mute', 'bare'])
    fs.cpSync(path.join(folder, 'site'), path.join(folder, kind), { recursive: true });
  fs.writeFileSync(path.join(folder, 'mute/measure.js'), '');
  fs.rmSync(path.join(folder, 'bare/measure.js'));
  host = await serve(path.join(WEB), folder);
});
after(() => {
  host?.close();
  fs.rmSync(folder, { recursive: true });
});

for (const [name, programs] of BROWSERS) {
  const executablePath = found(programs);
  const skip = executablePath ? false : `no ${programs[0]} here: the page is not tried in it`;
  describe(`in ${name}`, { skip }, () => {
    let browser: Browser;
    let page: Page;
    before(async () => {
      const args = name === 'chrome' ? ['--no-sandbox', '--disable-gpu'] : [];
      browser = await puppeteer.launch({
        browser: name,
        executablePath: executablePath as string,
        headless: true,
        args,
      });
    });
    after(() => browser.close());

    async function open(url: string): Promise<Page> {
      page = await browser.newPage();
      page.setDefaultTimeout(120000); // machines are busy at times
      await page.goto(host.url + url);
      return page;
    }

    test('levels are those of node, on a slow line', async () => {
      await open('empty.html');
      const all = await page.evaluate(async () => {
        const library = '/dist/index.js';
        const { decodeStream } = (await import(library)) as typeof import('../src/index.js');
        const { body } = await fetch('/picture.rgru?rate=20000');
        const found: { layers: number; most: number; count: number; at: number }[] = [];
        const began = performance.now();
        for await (const { layers, bitmap } of decodeStream(body as ReadableStream<Uint8Array>, {
          models: '/models/',
        })) {
          const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext(
            '2d',
          ) as OffscreenCanvasRenderingContext2D;
          context.drawImage(bitmap, 0, 0);
          const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
          const expected = new Uint8Array(await (await fetch(`/levels${layers}`)).arrayBuffer());
          let [most, count] = [0, 0];
          data.forEach((level, i) => {
            const difference = Math.abs(level - (expected[i] as number));
            most = Math.max(most, difference);
            count += Number(difference > 0);
          });
          found.push({ layers, most, count, at: performance.now() - began });
        }
        return found;
      });
      assert.deepEqual(
        all.map(({ layers }) => layers),
        levels.map(({ layers }) => layers),
      );
      for (const { most } of all) assert.ok(most <= 1, JSON.stringify(all));
      assert.ok(
        (all[0] as { at: number }).at < (all.at(-1) as { at: number }).at - 100,
        'layers come one after the other',
      );
    });

    test('what is encoded here decodes in node', async () => {
      await open('empty.html');
      const bytes = await page.evaluate(async () => {
        const library = '/dist/index.js';
        const { encode } = (await import(library)) as typeof import('../src/index.js');
        const photo = await (await fetch('/picture.png')).blob();
        return [...(await encode(photo, { models: '/models/', layers: 3 }))];
      });
      const shown = await rgru.decode(Uint8Array.from(bytes), { models: path.join(folder, 'packages') });
      assert.equal(shown.layers, 3);
      assert.deepEqual([shown.width, shown.height], [picture.width, picture.height]);
      const sum = shown.pixels.reduce((total, level, i) => total + (level - (picture.data[i] as number)) ** 2, 0);
      assert.ok(sum / shown.pixels.length < 600, String(sum / shown.pixels.length));
    });

    test('the element paints, tells, and keeps what it painted when an error comes', async () => {
      await open('empty.html');
      const told = (await page.evaluate(async () => {
        const library = '/dist/element.js';
        await import(library);
        const load = (src: string, models = '/models/', height?: number): Promise<unknown> =>
          new Promise((resolve) => {
            const element = document.createElement('rgru-image');
            const layers: number[] = [];
            const end = (error?: Error): void => {
              const canvas = element.shadowRoot?.querySelector('canvas') as HTMLCanvasElement;
              const words = element.shadowRoot?.querySelector('span')?.textContent;
              resolve({
                last: layers.at(-1) ?? 0,
                error: error?.name,
                message: error?.message,
                width: canvas.width,
                words,
                ratio: getComputedStyle(element).aspectRatio,
                height: element.clientHeight,
                set: element.getAttributeNames().sort().join(),
              });
            };
            element.addEventListener('layer', (event) =>
              layers.push((event as CustomEvent<{ layers: number }>).detail.layers),
            );
            element.addEventListener('load', () => end());
            element.addEventListener('error', (event) => end((event as ErrorEvent).error));
            element.alt = 'soft shapes';
            element.setAttribute('models', models);
            if (height) element.setAttribute('height', String(height));
            element.src = src;
            document.body.append(element);
          });
        return [
          await load('/picture.rgru?rate=60000'),
          await load('/damaged.rgru'),
          await load('/picture.rgru', '/nothing/'),
          await load('/none.rgru'),
          await load('/picture.rgru', '/models/', 100),
        ];
      })) as Record<string, unknown>[];
      const [sound, damaged, missing, none, low] = told as [
        Record<string, unknown>,
        Record<string, unknown>,
        Record<string, unknown>,
        Record<string, unknown>,
        Record<string, unknown>,
      ];
      assert.deepEqual([sound.last, sound.error, sound.width, sound.set], [8, undefined, 512, 'alt,models,src']);
      assert.equal(sound.ratio, '512 / 352');
      assert.deepEqual([damaged.error, damaged.width, damaged.last], ['Damaged', 512, 7]);
      assert.deepEqual([missing.error, missing.width, missing.words], ['ModelMissing', 0, 'soft shapes']);
      assert.match(String(missing.message), new RegExp(model));
      assert.equal(none.error, 'RgruError');
      assert.equal(low.height, 100);
    });

    test('the element does what an img does: moved, renamed, with attributes and styles of the page', async () => {
      await open('empty.html');
      const found = await page.evaluate(async () => {
        const library = '/dist/element.js';
        await import(library);
        document.body.innerHTML = `<style>.wide { width: 99px }</style><p></p>
          <rgru-image models="/models/" alt="shapes" width="200" layers="x" class="wide"></rgru-image>
          <rgru-image hidden width="9" height="9" role="figure" aria-label="mine"></rgru-image>`;
        const [element, other] = document.querySelectorAll('rgru-image') as unknown as RgruImage[];
        type RgruImage = HTMLElementTagNameMap['rgru-image'];
        const [fetched, warned, loads]: [string[], string[], number[]] = [[], [], []];
        const { fetch } = window;
        window.fetch = (...asked) => {
          if (String(asked[0]).includes('.rgru')) fetched.push(String(asked[0]));
          return fetch(...asked);
        };
        console.warn = (words: string) => warned.push(words);
        let last = 0;
        element?.addEventListener(
          'layer',
          (event) => (last = (event as CustomEvent<{ layers: number }>).detail.layers),
        );
        const event = (kind: string): Promise<unknown> =>
          new Promise((resolve) => element?.addEventListener(kind, resolve, { once: true }));
        const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 300));
        if (!element || !other) throw new Error('no elements');
        element.src = '/picture.rgru?rate=20000';
        await event('layer');
        document.querySelector('p')?.append(element);
        await event('load');
        document.body.append(element);
        element.remove();
        await settle();
        document.body.append(element);
        await settle();
        loads.push(fetched.length);
        const shown = { last, width: element.clientWidth, natural: element.naturalWidth, complete: element.complete };
        element.src = element.getAttribute('src') as string;
        await event('layer');
        element.remove();
        await settle();
        element.setAttribute('loading', 'lazy');
        document.body.append(element);
        await event('load');
        loads.push(fetched.length);
        element.src = '/none.rgru';
        await event('error');
        const [canvas, words] = element.shadowRoot?.children as unknown as [HTMLCanvasElement, HTMLElement];
        element.alt = 'other';
        const gone = { hidden: canvas.hidden, words: words.textContent, natural: element.naturalWidth };
        const kept = [other.getAttribute('role'), other.getAttribute('aria-label'), other.clientHeight];
        return { loads, shown, gone, kept, warned };
      });
      assert.deepEqual(found.loads, [1, 3]);
      assert.deepEqual(found.shown, { last: 8, width: 99, natural: 512, complete: true });
      assert.deepEqual(found.gone, { hidden: true, words: 'other', natural: 0 });
      assert.deepEqual(found.kept, ['figure', 'mine', 0]);
      assert.match(String(found.warned[0]), /layers="x" is no number/);
      if (name === 'chrome') assert.ok(await page.$('::-p-aria([name="other"][role="image"])'));
    });

    test('the element has role and label where its internals know none, as in Firefox before 119', async () => {
      await open('empty.html');
      const told = await page.evaluate(async () => {
        for (const name of ['role', 'ariaLabel']) Reflect.deleteProperty(ElementInternals.prototype, name);
        const library = '/dist/element.js';
        await import(library);
        document.body.innerHTML = `<rgru-image></rgru-image><rgru-image alt="shapes"></rgru-image>
          <rgru-image alt="x" role="figure" aria-label="mine"></rgru-image>`;
        const [bare, named, set] = document.querySelectorAll('rgru-image') as unknown as Element[];
        if (!bare || !named || !set) throw new Error('no elements');
        const told: unknown[] = [];
        const tell = (of: Element): unknown => told.push([of.getAttribute('role'), of.getAttribute('aria-label')]);
        [bare, named, set].forEach(tell);
        named.setAttribute('alt', '');
        tell(named);
        named.setAttribute('role', 'button'); // the page's, from now on
        for (const element of [named, set]) element.setAttribute('alt', 'other');
        [named, set].forEach(tell);
        return told;
      });
      assert.deepEqual(told, [
        ['img', ''],
        ['img', 'shapes'],
        ['figure', 'mine'],
        ['presentation', ''],
        ['button', 'other'],
        ['figure', 'mine'],
      ]);
      if (name === 'chrome') assert.ok(await page.$('::-p-aria([name="other"][role="button"])'));
    });

    test('work can be cancelled, and errors keep their kind', async () => {
      await open('empty.html');
      const [aborted, after, damaged] = await page.evaluate(async () => {
        const library = '/dist/index.js';
        const { decode, encode, Damaged } = (await import(library)) as typeof import('../src/index.js');
        const models = '/models/';
        const large = new OffscreenCanvas(3000, 2000);
        large.getContext('2d')?.fillRect(0, 0, 99, 99);
        const stop = new AbortController();
        const running = encode(large.transferToImageBitmap(), { models, signal: stop.signal }).catch(
          (error: Error) => error.name,
        );
        await new Promise((resolve) => setTimeout(resolve, 300));
        stop.abort();
        const began = performance.now();
        const name = await running;
        const file = await (await fetch('/picture.rgru')).blob();
        await decode(file, { models });
        const bad = await decode(await (await fetch('/damaged.rgru')).blob(), { models }).catch(
          (error: unknown) => error,
        );
        return [name, performance.now() - began, bad instanceof Damaged && bad.layer] as const;
      });
      assert.equal(aborted, 'AbortError');
      assert.ok(after < 10000, String(after));
      assert.equal(damaged, 8);
    });

    test('a signal that is no AbortSignal is refused, and one of a frame is as good as one of the page', async () => {
      await open('empty.html');
      const told = await page.evaluate(async () => {
        const library = '/dist/index.js';
        const { decode, encode, InvalidInput } = (await import(library)) as typeof import('../src/index.js');
        const file = await (await fetch('/picture.rgru')).blob();
        const stream = file.stream();
        const tell = (error: Error): unknown => (error instanceof InvalidInput ? error.message : error.name);
        const signal = new AbortController() as unknown as AbortSignal;
        const frame = document.body.appendChild(document.createElement('iframe')).contentWindow as typeof globalThis &
          Window;
        const stop = new frame.AbortController();
        const models = '/models/';
        const refused = [
          await decode(stream, { models, signal }).catch(tell),
          await encode(new ImageData(16, 16), { models, signal }).catch(tell),
        ];
        const { width } = await decode(file, { models, signal: stop.signal });
        stop.abort();
        const stopped = await decode(file, { models, signal: stop.signal }).catch(tell);
        return { refused, locked: stream.locked, width, stopped };
      });
      const refusal = 'signal must be an AbortSignal, as the signal of an AbortController is, got an object';
      assert.deepEqual(told, { refused: [refusal, refusal], locked: false, width: 512, stopped: 'AbortError' });
    });

    test('sources that stall or fail, another worker and a bad cache', async () => {
      await open('empty.html');
      const found = await page.evaluate(async () => {
        const library = '/dist/index.js';
        const { decode, useWorker } = (await import(library)) as typeof import('../src/index.js');
        const models = '/models/';
        let told = 0;
        const stalled = () => new ReadableStream<Uint8Array>({ cancel: () => void told++ });
        const nameOf = (error: Error) => error.name;
        const timeout = await decode(stalled(), { models, signal: AbortSignal.timeout(200) }).catch(nameOf);
        const aborted = await decode(stalled(), { models, signal: AbortSignal.abort() }).catch(nameOf);
        const failure = Object.assign(new TypeError('line cut'), { code: 7 });
        const failing = new ReadableStream<Uint8Array>({ pull: () => Promise.reject(failure) });
        const same = (await decode(failing, { models }).catch((error: unknown) => error)) === failure;
        const nothing = new ReadableStream<Uint8Array>({ pull: () => Promise.reject(undefined) });
        const empty = await decode(nothing, { models }).catch((error: unknown) => String(error));
        const running = decode(stalled(), { models }).catch((error: Error) => error.message);
        await new Promise((resolve) => setTimeout(resolve, 100));
        useWorker('/dist/worker.js');
        const replaced = await running;
        const file = await (await fetch('/picture.rgru')).blob();
        await decode(file, { models });
        const cache = await caches.open('rgru-models');
        const kept = (await cache.keys()).map(({ url }) => url);
        for (const url of kept) await cache.put(url, new Response('<html>'));
        useWorker(undefined); // it has the model in memory
        const again = await decode(file, { models });
        return { timeout, aborted, told, same, empty, replaced, kept: kept.length > 3, width: again.width };
      });
      const { replaced, ...rest } = found;
      assert.match(String(replaced), /replaced by useWorker/);
      const wanted = { timeout: 'TimeoutError', aborted: 'AbortError', told: 3, same: true, empty: 'undefined' };
      assert.deepEqual(rest, { ...wanted, kept: true, width: 512 });
    });

    test('options of another type than they say are refused before anything is fetched', async () => {
      await open('empty.html');
      const words = await page.evaluate(async () => {
        const library = '/dist/index.js';
        const { decode, encode, InvalidInput } = (await import(library)) as typeof import('../src/index.js');
        const fetched: unknown[] = [];
        window.fetch = (...asked) => Promise.reject(fetched.push(asked));
        const nothing = (): undefined => undefined;
        const [reading, writing]: [object[], object[]] = [
          [
            { layers: '3' },
            { layers: nothing },
            { partial: 'no' },
            { limits: 1e7 },
            { onheader: 7 },
            { models: 7 },
            { models: 'http://' },
          ],
          [{ layers: '3' }, { msssim: '.9' }, { maxBytes: '9999' }, { encoder: 5 }, { show: 'no' }, { models: null }],
        ];
        const told: string[] = [];
        const tell = (error: unknown): void =>
          void told.push(error instanceof InvalidInput ? error.message : `not InvalidInput: ${String(error)}`);
        for (const options of reading) await decode(new Uint8Array(30), options).catch(tell);
        for (const options of writing) await encode(new ImageData(16, 16), options).catch(tell);
        return { told, fetched: fetched.length };
      });
      assert.deepEqual(words, {
        told: [
          "layers must be a whole number, 0 or more, got '3'",
          'layers must be a whole number, 0 or more, got a function',
          "partial must be true or false, got 'no'",
          'limits must be an object such as {maxPixels: 1e7}, got 10000000',
          'onheader must be a function, got 7',
          'models must be a URL, got 7',
          "models must be a URL, got 'http://'",
          "layers must be a whole number, 0 or more, or 'all', got '3'",
          "msssim must be a number between 0 and 1, got '.9'",
          "maxBytes must be a number above 0, got '9999'",
          'encoder must be the name of an encoder, got 5',
          "show must be true or false, got 'no'",
          'models must be a URL, got null',
        ],
        fetched: 0,
      });
    });

    test('levels of other kinds than those of sRGB are encoded as what they show', async (context) => {
      await open('empty.html');
      const found = await page.evaluate(async () => {
        const library = '/dist/index.js';
        const { encode, InvalidInput } = (await import(library)) as typeof import('../src/index.js');
        const refused = await encode('x.png' as unknown as ImageData, { models: '/models/' }).catch(
          (error: unknown) => error instanceof InvalidInput,
        );
        const files: number[][] = [];
        for (const [colorSpace, level] of [
          ['srgb', [0, 255, 0, 255]],
          ['display-p3', [117, 251, 76, 255]],
        ] as const) {
          let image: ImageData;
          try {
            image = new ImageData(32, 32, { colorSpace });
          } catch {
            return { refused, files: null };
          }
          for (let i = 0; i < image.data.length; i += 4) image.data.set(level, i);
          files.push([...(await encode(image, { models: '/models/', layers: 3 }))]);
        }
        return { refused, files };
      });
      assert.equal(found.refused, true);
      if (found.files) assert.deepEqual(found.files[1], found.files[0]);
      else context.diagnostic('this browser has levels of sRGB only');
    });

    test('the page shows a file and a photo, at three widths', async () => {
      await open('site/index.html');
      const errors: string[] = [];
      page.on('pageerror', (error) => errors.push(String(error)));
      await upload('large.png');
      await page.waitForFunction(() => document.getElementById('status')?.textContent?.startsWith('Compressing'));
      assert.equal(await text('#right'), 'original');
      // The picture builds up while it is compressed.
      await page.waitForFunction(() => document.getElementById('left')?.textContent?.startsWith('rgru, 1 layer'));
      const colours = await page.$eval('#view', (view) => {
        const { width, height } = view as HTMLCanvasElement;
        const context = (view as HTMLCanvasElement).getContext('2d') as CanvasRenderingContext2D;
        return new Set(new Uint32Array(context.getImageData(0, 0, width / 3, height).data.buffer)).size;
      });
      assert.ok(colours > 50, `${colours} colours on the stage`);
      await page.select('#line', '50000');
      await upload('picture.rgru'); // what was going on stops
      await ended();
      assert.match(
        await page.$eval('#view', (view) => view.getAttribute('aria-label') ?? ''),
        /^picture.rgru: 8 layers/,
      );
      assert.match(await text('#status'), /8 layers/);
      await page.select('#line', '0');
      await upload('picture.png');
      await ended();
      assert.match(await text('#status'), /8 layers/);
      assert.equal(await page.$$eval('#rows tr', (rows) => rows.length), 8);
      const table = await page.$$eval('#rows td', (cells) => cells.map((cell) => cell.textContent ?? ''));
      const quality = table.filter((_, i) => i % 4 === 2).map(Number);
      assert.ok(
        quality.every((value, i) => value > (quality[i - 1] ?? 0.3) && value <= 1),
        String(quality),
      );
      assert.ok(
        table.filter((_, i) => i % 4 === 3).every((words) => /^0\.\d+/.test(words)),
        String(table),
      );
      await page.$eval('#bytes', (slider) => {
        (slider as HTMLInputElement).value = String(Number((slider as HTMLInputElement).max) / 3);
        slider.dispatchEvent(new Event('input'));
      });
      await page.waitForFunction(() => document.getElementById('right')?.textContent?.includes('JPEG'));
      const shots = path.join(WEB, 'build/screenshots');
      fs.mkdirSync(shots, { recursive: true });
      for (const width of WIDTHS) {
        await page.setViewport({ width, height: 900 }).catch((error: Error) => {
          // Firefox 140 knows no orientation of a screen; the size is set by a command of its own.
          if (!error.message.includes('unknown command emulation.setScreenOrientationOverride')) throw error;
        });
        await page.waitForFunction((wanted) => innerWidth === wanted, {}, width);
        await new Promise((resolve) => setTimeout(resolve, 300));
        const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wider <= 0, `the page is ${wider} pixels wider than a window of ${width}`);
        await page.screenshot({ path: path.join(shots, `${name}-${width}.png`), fullPage: true });
      }
      assert.equal(await page.$eval('#error', (words) => (words as HTMLElement).hidden), true);
      await upload('levels1');
      await page.waitForFunction(() => !(document.getElementById('error') as HTMLElement).hidden);
      assert.match(await text('#error'), /neither a .rgru nor a picture/);
      await upload('damaged.rgru');
      await page.waitForFunction(() => document.getElementById('error')?.textContent?.includes('layer 8'));
      assert.match(await text('#left'), /7 layers/);
      assert.deepEqual(errors, []);
    });

    test('the page sends again while it sends, and after an error', async () => {
      await open('site/index.html');
      const again = (): Promise<void> => page.$eval('#again', (button) => (button as HTMLButtonElement).click());
      const stopDisabled = (): Promise<boolean> => page.$eval('#stop', (stop) => (stop as HTMLButtonElement).disabled);
      const noError = (): Promise<boolean> => page.$eval('#error', (words) => (words as HTMLElement).hidden);
      await page.select('#line', '0');
      await upload('damaged.rgru');
      await ended();
      assert.equal(await noError(), false);
      await page.select('#line', '3000');
      await again();
      assert.equal(await noError(), true, 'the error before is gone');
      await page.select('#line', '0');
      await upload('picture.rgru');
      await page.waitForFunction(() => document.getElementById('view')?.ariaLabel?.startsWith('picture.rgru: 8'));
      await ended();
      await page.select('#line', '3000');
      await again();
      await new Promise((resolve) => setTimeout(resolve, 200));
      await again();
      await new Promise((resolve) => setTimeout(resolve, 500));
      assert.deepEqual([await noError(), await stopDisabled()], [true, false]);
      assert.match(await text('#status'), / of /);
      await page.select('#line', '0');
      await again();
      await ended();
      assert.equal(await noError(), true);
      assert.match(await text('#status'), /8 layers/);
      assert.equal(await page.$$eval('#rows tr', (rows) => rows.length), 8);
    });

    test('the page shows and compresses where measure.js cannot be had, and stops where it says nothing', async () => {
      await open('bare/index.html');
      await page.select('#line', '0');
      await upload('picture.png');
      await ended();
      assert.match(await text('#status'), /8 layers/);
      assert.match(await text('#error'), /Neither measured nor compared/);
      assert.equal(await text('#right'), 'original');
      await open('mute/index.html');
      await page.select('#line', '0');
      await upload('picture.png');
      await page.waitForFunction(() => document.getElementById('view')?.ariaLabel?.startsWith('picture.png: 1 layer'));
      await page.$eval('#stop', (button) => (button as HTMLButtonElement).click());
      await ended();
      assert.equal(await text('#status'), 'Stopped.');
    });

    test('the page keeps nothing of the picture before when a file has none', async () => {
      await open('site/index.html');
      const state = (): Promise<unknown[]> =>
        page.evaluate(() => {
          const [bytes, ...buttons] = ['bytes', 'save', 'png'].map((id) => document.getElementById(id));
          const { value, max, disabled } = bytes as HTMLInputElement;
          const label = document.getElementById('view')?.ariaLabel;
          return [label, value, max, disabled, ...buttons.map((button) => (button as HTMLButtonElement).disabled)];
        });
      await page.select('#line', '0');
      await upload('picture.rgru');
      await ended();
      assert.deepEqual((await state()).slice(3), [false, false, false]);
      for (const what of ['short.rgru', 'levels1']) {
        await upload(what);
        await page.waitForFunction(() => !(document.getElementById('error') as HTMLElement).hidden);
        assert.deepEqual(await state(), [`${what}: no picture`, '21', '21', true, true, true]);
      }
    });

    async function text(selector: string): Promise<string> {
      return page.$eval(selector, (one) => one.textContent ?? '');
    }

    async function upload(what: string): Promise<void> {
      const input = await page.$('input#file');
      await input?.uploadFile(path.join(folder, what));
    }

    /** What the page was at has ended, and there is a file to send again. */
    function ended(): Promise<unknown> {
      return page.waitForFunction(
        () =>
          (document.getElementById('stop') as HTMLButtonElement).disabled &&
          !(document.getElementById('again') as HTMLButtonElement).disabled,
      );
    }
  });
}
