/** `<rgru-image src alt models>`: a picture that gets better while it arrives. */

import { decodeStream, RgruError } from './index.js';

const STYLE = `:host{display:inline-block;max-width:100%}
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
 * ErrorEvent). What was painted stays when an error comes.
 */
export class RgruImage extends Base {
  static observedAttributes = ['src', 'alt', 'models', 'layers', 'loading', 'width', 'height'];
  private canvas: HTMLCanvasElement | undefined;
  private words: HTMLSpanElement | undefined;
  private stop: AbortController | undefined;
  private queued = false;
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
    this.queue();
  }

  disconnectedCallback(): void {
    this.stop?.abort();
    this.stop = undefined;
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (!this.canvas || before === after) return;
    if (name === 'alt' || name === 'width' || name === 'height') this.describe();
    else this.queue();
  }

  private build(): void {
    const root = this.attachShadow({ mode: 'open' });
    const style = document.createElement('style');
    style.textContent = STYLE;
    this.canvas = document.createElement('canvas');
    this.canvas.width = this.canvas.height = 0;
    this.words = document.createElement('span');
    this.words.hidden = true;
    root.append(style, this.canvas, this.words);
  }

  /** Role, words and shape. */
  private describe(): void {
    this.setAttribute('role', 'img');
    this.setAttribute('aria-label', this.alt);
    const [width, height] = ['width', 'height'].map((name) => Number(this.getAttribute(name))) as [number, number];
    if (width > 0) this.style.width = `${width}px`;
    else if (height > 0) this.style.height = `${height}px`;
    const [w, h] = this.naturalWidth ? [this.naturalWidth, this.naturalHeight] : [width, height];
    if (w > 0 && h > 0) this.style.aspectRatio = `${w} / ${h}`;
  }

  /** Attributes that change together start one load. */
  private queue(): void {
    if (this.queued) return;
    this.queued = true;
    queueMicrotask(() => {
      this.queued = false;
      if (this.isConnected) void this.load();
    });
  }

  private async load(): Promise<void> {
    this.stop?.abort();
    const stop = new AbortController();
    this.stop = stop;
    this.complete = false;
    if (this.words) this.words.hidden = true;
    if (!this.src) return;
    try {
      if (this.getAttribute('loading') === 'lazy') await this.seen(stop.signal);
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
    const layers = Number(this.getAttribute('layers')) || undefined;
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
      canvas.getContext('bitmaprenderer')?.transferFromImageBitmap(bitmap);
      this.dispatchEvent(new CustomEvent<LayerDetail>('layer', { detail }));
    }
  }

  private fail(error: Error): void {
    this.complete = true;
    if (this.words && this.canvas && !this.canvas.width) {
      this.canvas.hidden = true;
      this.words.hidden = false;
      this.words.textContent = this.alt;
    }
    this.dispatchEvent(new ErrorEvent('error', { error, message: error.message }));
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
