/** The page: a photo or a .rgru comes over a line, and is compared with a JPEG of the same bytes. */

import { decode, decodeStream, encodeStream, modelOf } from '../src/index.js';
import { joined } from '../src/container.js';
import { unlessAborted } from '../src/source.js';
import { bytesAt, curve, type Point } from './curve.js';
import { overLine } from './line.js';
import { Measurer } from './measurer.js';
import { page, save, seconds, show, size } from './page.js';
import { View } from './view.js';

const MODELS = new URL('models/', location.href).href;
const SAMPLES = [
  ['astronaut', 'Astronaut'],
  ['coffee', 'Coffee'],
  ['chelsea', 'Cat'],
] as const;

/** A picture after some layers. */
interface Step {
  layers: number;
  bytes: number;
  bitmap: ImageBitmap;
  quality?: number | undefined;
  jpeg?: { size: number; bitmap: ImageBitmap; quality: number } | undefined;
}

/** What is on the page. */
interface Shown {
  name: string;
  original: ImageBitmap | null;
  file: Uint8Array<ArrayBuffer>;
  steps: Step[];
  measurer: Measurer | null;
  stop: AbortController;
  /** Bytes that came over the line. */
  came: number;
}

const view = new View(page.view, () => {
  page.factor.textContent = view.scale;
  page.flicker.setAttribute('aria-pressed', String(view.flickers));
});
let shown: Shown | null = null;
let models: { bytes: Record<string, number> } | null = null;

/** Forget what was there; its work stops. */
function begin(name: string): Shown {
  shown?.stop.abort();
  shown?.measurer?.stop();
  view.reset();
  show(null);
  page.status.textContent = `${name} ...`;
  page.view.setAttribute('aria-label', `${name}: no picture`);
  page.bytes.value = page.bytes.max = page.bytes.min;
  page.bytes.removeAttribute('aria-valuetext');
  page.curve.textContent =
    page.rows.textContent =
    page.left.textContent =
    page.right.textContent =
    page.amount.textContent =
      '';
  for (const control of [page.bytes, page.save, page.png, page.again]) control.disabled = true;
  page.stop.disabled = false;
  shown = {
    name,
    original: null,
    file: new Uint8Array(0),
    steps: [],
    measurer: null,
    stop: new AbortController(),
    came: 0,
  };
  return shown;
}

async function open(data: Blob, name: string): Promise<void> {
  await guarded(begin(name), async (now) => {
    const head = new Uint8Array(await data.slice(0, 8).arrayBuffer());
    const isFile = head[0] === 0x89 && String.fromCharCode(...head.subarray(1, 5)) === 'RGRU';
    if (isFile) now.file = new Uint8Array(await data.arrayBuffer());
    else {
      await takeOriginal(now, data);
      await encodeIt(now);
    }
    await send(now);
  });
}

async function openSample(name: string, title: string): Promise<void> {
  await guarded(begin(title), async (now) => {
    const get = async (kind: string): Promise<Blob> => {
      const url = `samples/${name}.${kind}`;
      const response = await fetch(url, { signal: now.stop.signal });
      if (!response.ok) throw new Error(`${url}: ${response.status}`);
      return response.blob();
    };
    now.file = new Uint8Array(await (await get('rgru')).arrayBuffer());
    const original = get('png').then((data) => takeOriginal(now, data));
    await Promise.all([send(now), original]);
  });
}

/** The work ends with `stop`, whatever it waits for. Errors in words; what was replaced by another picture or sending says nothing any more. */
async function guarded(now: Shown, work: (now: Shown) => Promise<void>): Promise<void> {
  try {
    await unlessAborted(() => work(now), now.stop.signal);
  } catch (error) {
    if (now !== shown) return;
    if (now.stop.signal.aborted) page.status.textContent = 'Stopped.';
    else show(error);
  }
  if (now !== shown) return;
  page.stop.disabled = true;
  page.again.disabled = !now.file.length;
}

async function takeOriginal(now: Shown, data: Blob): Promise<void> {
  try {
    now.original = await createImageBitmap(data);
  } catch {
    throw new Error(`${now.name} is neither a .rgru nor a picture that this browser can read`);
  }
  const { original } = now;
  now.measurer = new Measurer();
  void measured(now, (measurer) => measurer.original(original));
  if (now === shown) await refresh(now);
}

/** What the measurer finds; where it cannot, pictures are shown without. */
async function measured<T>(now: Shown, ask: (measurer: Measurer) => Promise<T>): Promise<T | undefined> {
  try {
    return now.measurer ? await ask(now.measurer) : undefined;
  } catch (error) {
    now.measurer = null;
    if (now === shown) show(`Neither measured nor compared with JPEG: ${(error as Error).message}`);
    return undefined;
  }
}

/** Compress, and show meanwhile: the original at once, beside it what the layers written so far show. */
async function encodeIt(now: Shown): Promise<void> {
  const began = performance.now();
  const pieces: Uint8Array[] = [];
  const { signal } = now.stop;
  view.right = now.original;
  page.right.textContent = 'original';
  view.draw();
  const options = { models: MODELS, signal, show: true, layers: 'all' as const };
  for await (const { layers, piece, bitmap } of encodeStream(now.original as ImageBitmap, options)) {
    pieces.push(piece);
    if (now !== shown) return bitmap?.close();
    page.status.textContent = `Compressing: ${layers} layers after ${seconds(performance.now() - began)}`;
    if (!bitmap) continue;
    view.left?.close();
    view.left = bitmap;
    page.left.textContent = `rgru, ${layers} layers`;
    page.view.setAttribute('aria-label', `${now.name}, while it is compressed: ${layers} layers`);
    view.draw();
  }
  view.left?.close();
  view.left = null;
  now.file = joined(pieces);
}

/** Let the file come over the line, and show what there is of it. */
async function send(now: Shown): Promise<void> {
  const began = performance.now();
  const rate = Number(page.line.value);
  void tellModel(now);
  const came = (bytes: number): void => {
    now.came = bytes;
    if (now === shown) told(now, performance.now() - began);
  };
  const { signal } = now.stop;
  for await (const { layers, groups, bytes, bitmap } of decodeStream(overLine(now.file, rate, signal, came), {
    models: MODELS,
    signal,
  })) {
    if (now !== shown) return;
    now.steps.push({ layers: layers + (groups ? 0.5 : 0), bytes, bitmap });
    page.bytes.max = String(now.file.length);
    page.bytes.value = String(bytes);
    page.bytes.disabled = page.save.disabled = page.png.disabled = false;
    told(now, performance.now() - began);
    await refresh(now);
  }
  await measureAll(now);
}

function told(now: Shown, elapsed: number): void {
  const step = now.steps.at(-1);
  const layers = step ? `${Math.floor(step.layers)} layers in ${size(step.bytes)}` : 'no layer yet';
  page.status.textContent = `${size(now.came)} of ${size(now.file.length)} after ${seconds(elapsed)}: ${layers}`;
}

/** The last picture that so many bytes hold. */
function stepAt(now: Shown, bytes: number): Step | undefined {
  return now.steps.filter((step) => step.bytes <= bytes).at(-1);
}

/** Show what the slider says. */
async function refresh(now: Shown): Promise<void> {
  const bytes = Number(page.bytes.value);
  const step = stepAt(now, bytes);
  if (!step) return;
  const { width, height } = step.bitmap;
  view.left = step.bitmap;
  const layers = `${Math.floor(step.layers)} layers`;
  page.left.textContent = `rgru, ${layers}, ${size(step.bytes)}`;
  page.amount.textContent = `${size(bytes)}, ${layers}, ${((8 * bytes) / (width * height)).toFixed(3)} bits per pixel`;
  page.bytes.setAttribute('aria-valuetext', page.amount.textContent);
  page.view.setAttribute('aria-label', `${now.name}: ${layers}, ${size(step.bytes)}`);
  view.draw();
  drawCurve(now);
  await refreshRight(now, step);
}

async function refreshRight(now: Shown, step: Step): Promise<void> {
  const wanted = document.querySelector<HTMLInputElement>('input[name=other]:checked')?.value;
  if (wanted === 'jpeg') step.jpeg ??= await measured(now, (measurer) => measurer.jpeg(step.bytes));
  if (now !== shown || stepAt(now, Number(page.bytes.value)) !== step) return;
  if (wanted === 'jpeg' && step.jpeg) {
    view.right = step.jpeg.bitmap;
    const more = step.jpeg.size > step.bytes ? ', no smaller one can be made' : '';
    page.right.textContent = `JPEG, ${size(step.jpeg.size)}${more}`;
  } else {
    view.right = now.original;
    page.right.textContent = now.original ? 'original' : 'no original to compare with';
  }
  view.draw();
}

async function measureAll(now: Shown): Promise<void> {
  for (const step of now.steps) {
    step.quality ??= await measured(now, (measurer) => measurer.quality(step.bitmap));
    step.jpeg ??= await measured(now, (measurer) => measurer.jpeg(step.bytes));
    if (now !== shown || now.stop.signal.aborted) return;
    drawCurve(now);
  }
  tellSaving(now);
}

function points(now: Shown): { rgru: Point[]; jpeg: Point[] } {
  const rgru = now.steps.flatMap(({ bytes, quality }) => (quality ? [{ bytes, quality }] : []));
  const jpeg = now.steps.flatMap((step) =>
    step.jpeg?.quality ? [{ bytes: step.jpeg.size, quality: step.jpeg.quality }] : [],
  );
  return { rgru, jpeg };
}

function drawCurve(now: Shown): void {
  const { rgru, jpeg } = points(now);
  page.curve.innerHTML = curve(rgru, jpeg, Number(page.bytes.value));
  page.rows.replaceChildren(
    ...now.steps.map(({ bytes, layers, quality, jpeg: other }) => {
      const row = document.createElement('tr');
      const quality4 = (value?: number): string => value?.toFixed(4) ?? '';
      const compared = other ? `${quality4(other.quality)}${other.size > bytes ? ` (${size(other.size)})` : ''}` : '';
      for (const text of [String(bytes), String(Math.floor(layers)), quality4(quality), compared])
        row.appendChild(document.createElement('td')).textContent = text;
      return row;
    }),
  );
}

/** How large the model is. */
async function tellModel(now: Shown): Promise<void> {
  try {
    const response = await fetch(`${MODELS}${modelOf(now.file)}/parts.json`);
    if (!response.ok) return;
    models = (await response.json()) as { bytes: Record<string, number> };
    page.model.textContent = modelWords(models.bytes);
  } catch {
    // the decoder tells that the model cannot be had
  }
}

function modelWords(bytes: Record<string, number>): string {
  const layer = (name: string): number =>
    Number(/^context-(\d+)/.exec(name)?.[1] ?? (name.startsWith('encoder') ? Infinity : 0));
  const upTo = (most: number): number =>
    Object.entries(bytes).reduce((sum, [name, n]) => sum + (layer(name) <= most ? n : 0), 0);
  const encoder = Object.entries(bytes).reduce((sum, [name, n]) => sum + (name.startsWith('encoder') ? n : 0), 0);
  return `The model is fetched once: ${size(upTo(3))} for files of three layers, ${size(upTo(999))} for all; ${size(encoder)} more to compress here.`;
}

/** When fetching the model pays. */
function tellSaving(now: Shown): void {
  const { rgru, jpeg } = points(now);
  if (!models || now !== shown) return;
  const target = [0.95, 0.9, 0.98].find((quality) => bytesAt(rgru, quality) && bytesAt(jpeg, quality));
  if (!target) return;
  const saved = (bytesAt(jpeg, target) as number) - (bytesAt(rgru, target) as number);
  const total = Object.entries(models.bytes).reduce((sum, [name, n]) => sum + (name.startsWith('encoder') ? 0 : n), 0);
  const words =
    saved > 0
      ? `At an MS-SSIM of ${target} this picture takes ${size(Math.round(saved))} less than as JPEG: the model pays after some ${Math.ceil(total / saved)} such pictures.`
      : `At an MS-SSIM of ${target} this picture takes ${size(Math.round(-saved))} more than as JPEG.`;
  page.model.textContent = `${modelWords(models.bytes)} ${words}`;
}

async function exactly(now: Shown, bytes: number): Promise<void> {
  const step = stepAt(now, bytes);
  const next = now.steps.find((other) => other.bytes > bytes);
  if (!step || !next) return;
  // Groups of the next layer may be there already.
  const bitmap = await decode(now.file.subarray(0, bytes), { models: MODELS, signal: now.stop.signal });
  if (now === shown && Number(page.bytes.value) === bytes) {
    view.left = bitmap;
    view.draw();
  }
}

let later = 0;
page.bytes.addEventListener('input', () => {
  const now = shown;
  if (!now) return;
  void refresh(now).catch(show);
  clearTimeout(later);
  later = window.setTimeout(() => void exactly(now, Number(page.bytes.value)).catch(() => undefined), 250);
});
page.split.addEventListener('input', () => {
  view.split = Number(page.split.value) / 100;
  view.draw();
});
document
  .querySelectorAll('input[name=other]')
  .forEach((input) => input.addEventListener('change', () => shown && void refresh(shown).catch(show)));
page.in.addEventListener('click', () => view.zoomBy(1));
page.out.addEventListener('click', () => view.zoomBy(-1));
page.flicker.addEventListener('click', () => view.flicker(!view.flickers));
page.stop.addEventListener('click', () => shown?.stop.abort());
page.again.addEventListener('click', () => {
  if (!shown) return;
  shown.stop.abort();
  // An object of its own: what the sending before still does is not for what is shown any more.
  shown = { ...shown, steps: [], stop: new AbortController(), came: 0 };
  show(null);
  page.stop.disabled = false;
  void guarded(shown, send);
});
page.save.addEventListener('click', () => {
  const now = shown;
  if (!now) return;
  const end = stepAt(now, Number(page.bytes.value))?.bytes ?? now.file.length;
  save(new Blob([now.file.subarray(0, end)], { type: 'image/x-rgru' }), `${now.name.replace(/\.\w+$/, '')}.rgru`);
});
page.png.addEventListener('click', () => {
  const now = shown;
  const picture = now && view.left;
  if (!now || !picture) return;
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext('2d')?.drawImage(picture, 0, 0);
  void canvas
    .convertToBlob({ type: 'image/png' })
    .then((data) => save(data, `${now.name.replace(/\.\w+$/, '')}.png`), show);
});
page.view.addEventListener('keydown', (event) => {
  const nudge = (input: HTMLInputElement, by: number): void => {
    input.value = String(Number(input.value) + by);
    input.dispatchEvent(new Event('input'));
  };
  const step = Math.max(1, Math.round(Number(page.bytes.max) / 50));
  const keys: Record<string, () => void> = {
    ArrowLeft: () => view.move(-60, 0),
    ArrowRight: () => view.move(60, 0),
    ArrowUp: () => view.move(0, -60),
    ArrowDown: () => view.move(0, 60),
    '+': () => view.zoomBy(1),
    '=': () => view.zoomBy(1),
    '-': () => view.zoomBy(-1),
    f: () => view.flicker(!view.flickers),
    '[': () => nudge(page.split, -5),
    ']': () => nudge(page.split, 5),
    ',': () => nudge(page.bytes, -step),
    '.': () => nudge(page.bytes, step),
  };
  const act = keys[event.key] ?? keys[event.key.toLowerCase()];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
});

page.file.addEventListener('change', () => {
  const file = page.file.files?.[0];
  page.file.value = '';
  if (file) void open(file, file.name);
});
addEventListener('dragover', (event) => {
  event.preventDefault();
  document.body.classList.add('over');
});
addEventListener('dragleave', () => document.body.classList.remove('over'));
addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('over');
  const file = event.dataTransfer?.files[0];
  if (file) void open(file, file.name);
});
addEventListener('paste', (event) => {
  const file = event.clipboardData?.files[0];
  if (file) void open(file, file.name);
});
for (const [name, title] of SAMPLES) {
  const button = document.createElement('button');
  button.title = title;
  const image = document.createElement('img');
  image.src = `samples/${name}.jpg`;
  image.alt = title;
  image.addEventListener('error', () => button.remove());
  button.append(image);
  button.addEventListener('click', () => void openSample(name, title));
  page.samples.append(button);
}
