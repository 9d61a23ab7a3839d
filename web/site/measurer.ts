/** The page's side of the worker that measures. */

import type { Ask, Measured } from './measure.js';

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

const FAILED = 'its program cannot be loaded or has ended';

export class Measurer {
  private readonly worker = new Worker(new URL('./measure.js', import.meta.url), { type: 'module' });
  private next = 0;
  private readonly waiting = new Map<number, (measured: Measured) => void>();
  private failed = false;

  constructor() {
    this.worker.onmessage = ({ data }: MessageEvent<Measured>) => {
      this.waiting.get(data.id)?.(data);
      this.waiting.delete(data.id);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.failed = true;
      for (const [id, tell] of this.waiting) tell({ id, error: FAILED });
      this.waiting.clear();
    };
  }

  async original(bitmap: ImageBitmap): Promise<void> {
    await this.ask({ kind: 'original', bitmap });
  }

  /** The best JPEG of at most so many bytes. */
  async jpeg(bytes: number): Promise<{ size: number; bitmap: ImageBitmap; quality: number }> {
    const { file, bitmap, quality } = await this.ask({ kind: 'jpeg', bytes });
    return { size: (file as Uint8Array).length, bitmap: bitmap as ImageBitmap, quality: quality as number };
  }

  /** MS-SSIM against the original. */
  async quality(bitmap: ImageBitmap): Promise<number> {
    const { quality } = await this.ask({ kind: 'compare', bitmap: await createImageBitmap(bitmap) });
    return quality as number;
  }

  stop(): void {
    this.worker.terminate();
  }

  private async ask(ask: WithoutId<Ask>): Promise<Measured> {
    if (this.failed) throw new Error(FAILED);
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, (measured) => (measured.error ? reject(new Error(measured.error)) : resolve(measured)));
      const moved = 'bitmap' in ask && ask.kind === 'compare' ? [ask.bitmap] : [];
      this.worker.postMessage({ ...ask, id }, moved);
    });
  }
}
