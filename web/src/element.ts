/** `<rgru-image src alt models>`: a picture that gets better while it arrives. */

import { decodeStream, RgruError } from './index.js';

const STYLE = `:host{display:inline-block;max-width:100%}
:host([hidden]){display:none}
canvas{display:block;width:100%;height:100%;object-fit:inherit}
canvas[hidden],span[hidden]{display:none}`;

/** On a server there are no elements; importing this there does nothing. */
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

/** What `layer` events tell. */
export interface LayerDetail {
  layers: number;
  groups: number;
  bytes: number;
}

/**
 * Attributes: `src`, `alt`, `models` (folder of model packages), `layers` (at most), `loading="lazy"`,
 * `width` and `height`. Events: `layer` (a CustomEvent with `LayerDetail`), `load`, `error` (an
 * ErrorEvent). What was painted of a file stays when an error comes. Roles, labels and styles of the page win.
 */
export class RgruImage extends Base {
  static observedAttributes = ['src', 'alt', 'models', 'layers', 'loading', 'width', 'height'];
  private readonly internals = this.attachInternals();
  private readonly sheet = new CSSStyleSheet();
  /** Attributes that the element itself has set, where its internals know neither role nor label. */
  private readonly own = new Map<string, string>();
  private canvas: HTMLCanvasElement | undefined;
  private words: HTMLSpanElement | undefined;
  /** Of the load that goes on or has ended; none: it is due as soon as the element is in a document. */
  private stop: AbortController | undefined;
  private queued = false;
  /** Whether the load waits until the element is seen. */
  private waits = false;
  /** The `src` of what is painted. */
  private painted: string | undefined;
  /** Width and height of the picture in pixels; 0 before the header has come. */
  naturalWidth = 0;
  naturalHeight = 0;
  /** Whether nothing more is to come: all is shown, or there was an error. */
  complete = false;

  get src(): string {
    return this.getAttribute('src') ?? '';
  }

  set src(url: string) {
    this.setAttribute('src', url);
  }

  get alt(): string {
    return this.getAttribute('alt') ?? '';
  }

  set alt(text: string) {
    this.setAttribute('alt', text);
  }

  connectedCallback(): void {
    if (!this.canvas) this.build();
    this.describe();
    if (!this.stop) this.queue();
  }

  /** What is only moved goes on. */
  disconnectedCallback(): void {
    queueMicrotask(() => {
      if (!this.isConnected && !this.complete) this.end();
    });
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (!this.canvas || (before === after && name !== 'src')) return;
    if (name === 'loading' && !this.waits) return;
    if (name === 'alt' || name === 'width' || name === 'height') this.describe();
    else this.queue();
  }

  private build(): void {
    const root = this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [this.sheet];
    this.canvas = document.createElement('canvas');
    this.canvas.width = this.canvas.height = 0;
    this.words = document.createElement('span');
    this.words.hidden = true;
    root.append(this.canvas, this.words);
  }

  /** Role, words and shape. */
  private describe(): void {
    this.announce(this.getAttribute('alt') === '' ? 'presentation' : 'img', this.alt);
    if (this.words) this.words.textContent = this.alt;
    const [width, height] = ['width', 'height'].map((name) => Number(this.getAttribute(name))) as [number, number];
    const side = width > 0 ? `width:${width}px` : height > 0 ? `height:${height}px` : '';
    const [w, h] = this.naturalWidth ? [this.naturalWidth, this.naturalHeight] : [width, height];
    this.sheet.replaceSync(`${STYLE}:host{${side};${w > 0 && h > 0 ? `aspect-ratio:${w}/${h}` : ''}}`);
  }

  /** Role and label, below those of the page. Firefox before 119 knows them as attributes only. */
  private announce(role: string, label: string): void {
    if ('role' in ElementInternals.prototype) {
      this.internals.role = role;
      this.internals.ariaLabel = label;
    } else {
      this.put('role', role);
      this.put('aria-label', label);
    }
  }

  /** Set an attribute, unless the page has set it. */
  private put(name: string, value: string): void {
    const now = this.getAttribute(name);
    if (now !== null && now !== this.own.get(name)) return;
    this.own.set(name, value);
    this.setAttribute(name, value);
  }

  private end(): void {
    this.stop?.abort();
    this.stop = undefined;
    this.complete = false;
  }

  /** Attributes that change together start one load. */
  private queue(): void {
    this.end();
    if (this.queued) return;
    this.queued = true;
    queueMicrotask(() => {
      this.queued = false;
      if (this.isConnected) void this.load();
    });
  }

  private async load(): Promise<void> {
    const stop = new AbortController();
    this.stop = stop;
    this.complete = !this.src;
    (this.words as HTMLElement).hidden = true;
    if (!this.src) return this.clear();
    try {
      this.waits = this.getAttribute('loading') === 'lazy';
      if (this.waits) await this.seen(stop.signal);
      this.waits = false;
      await this.show(stop.signal);
      if (stop.signal.aborted) return;
      this.complete = true;
      this.dispatchEvent(new Event('load'));
    } catch (error) {
      if (!stop.signal.aborted) this.fail(error as Error);
    }
  }

  private async show(signal: AbortSignal): Promise<void> {
    const url = new URL(this.src, document.baseURI).href;
    const response = await fetch(url, { signal });
    if (!response.ok || !response.body) throw new RgruError(`${url}: ${response.status} ${response.statusText}`.trim());
    const layers = this.most();
    const models = this.getAttribute('models') ?? undefined;
    const onheader = ({ width, height }: { width: number; height: number }): void => {
      this.naturalWidth = width;
      this.naturalHeight = height;
      this.describe();
    };
    for await (const { bitmap, ...detail } of decodeStream(response.body, {
      models,
      layers,
      signal,
      onheader,
      pictures: 'latest',
    })) {
      const canvas = this.canvas as HTMLCanvasElement;
      canvas.hidden = false;
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
      this.painted = this.src;
      canvas.getContext('bitmaprenderer')?.transferFromImageBitmap(bitmap);
      this.dispatchEvent(new CustomEvent<LayerDetail>('layer', { detail }));
    }
  }

  private fail(error: Error): void {
    this.complete = true;
    if (this.painted !== this.src) {
      this.clear();
      (this.words as HTMLElement).hidden = false;
    }
    this.dispatchEvent(new ErrorEvent('error', { error, message: error.message }));
  }

  private clear(): void {
    const canvas = this.canvas as HTMLCanvasElement;
    canvas.hidden = true;
    canvas.width = canvas.height = this.naturalWidth = this.naturalHeight = 0;
    this.painted = undefined;
    this.describe();
  }

  /** Layers that the attribute allows. */
  private most(): number | undefined {
    const text = (this.getAttribute('layers') ?? '').trim();
    if (/^\d+$/.test(text)) return Number(text);
    if (text) console.warn(`<rgru-image>: layers="${text}" is no number of layers; all are shown`);
    return undefined;
  }

  /** Resolves when the element comes near the window. */
  private seen(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const observer = new IntersectionObserver(
        (entries) => {
          if (!entries.some((entry) => entry.isIntersecting)) return;
          observer.disconnect();
          resolve();
        },
        { rootMargin: '50%' },
      );
      observer.observe(this);
      signal.addEventListener('abort', () => observer.disconnect());
    });
  }
}

globalThis.customElements?.get('rgru-image') ?? globalThis.customElements?.define('rgru-image', RgruImage);

declare global {
  interface HTMLElementTagNameMap {
    'rgru-image': RgruImage;
  }
}
