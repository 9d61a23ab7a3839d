/** The page's side of the worker. */

import { untell } from './errors.js';
import type { Reply, Request } from './messages.js';
import code from 'rgru-worker'; // inlined by build.mjs

let settings: { worker?: string | URL | undefined } = {};
let worker: Worker | undefined;
let next = 0;
const talks = new Map<number, Talk>();

/** Where the worker's program is, for pages whose policy forbids workers from blobs: dist/worker.js. */
export function useWorker(url: string | URL | undefined): void {
  settings = { worker: url };
  worker?.terminate();
  worker = undefined;
  failAll('the worker was replaced by useWorker while it worked on this');
}

function failAll(message: string): void {
  for (const talk of talks.values())
    talk.put({ id: talk.id, kind: 'error', error: { name: 'Error', message, values: [] } });
}

function started(): Worker {
  if (worker) return worker;
  let url = String(settings.worker ?? '');
  if (!url) url = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
  worker = new Worker(url, { name: 'rgru' });
  if (!settings.worker) setTimeout(() => URL.revokeObjectURL(url), 60000);
  worker.onmessage = ({ data }: MessageEvent<Reply>) => talks.get(data.id)?.put(data);
  worker.onerror = (event) => {
    event.preventDefault();
    worker = undefined;
    failAll(`the worker cannot be run: ${event.message || 'see the console'}`);
  };
  return worker;
}

/** One request and its replies. */
export class Talk {
  readonly id = next++;
  private replies: Reply[] = [];
  private wake: (() => void) | undefined;
  private failure: { error: unknown } | undefined;

  constructor(private readonly signal?: AbortSignal | undefined) {
    signal?.throwIfAborted();
    talks.set(this.id, this);
  }

  send(request: DistributiveOmit<Request, 'id'>, transfer: Transferable[] = []): void {
    started().postMessage({ ...request, id: this.id }, transfer);
  }

  put(reply: Reply): void {
    this.replies.push(reply);
    this.wake?.();
  }

  /** End the work with an error of the page's side. */
  fail(error: unknown): void {
    this.failure = { error };
    this.wake?.();
  }

  /** Replies until the end. Whoever leaves early, or aborts, cancels the work. */
  async *read(): AsyncGenerator<Reply, void> {
    const stop = (): void => this.wake?.();
    this.signal?.addEventListener('abort', stop);
    let ended = false;
    try {
      for (;;) {
        this.signal?.throwIfAborted();
        const reply = this.replies.shift();
        if (!reply && this.failure) throw this.failure.error;
        if (!reply) {
          await new Promise<void>((resolve) => (this.wake = resolve));
          continue;
        }
        ended = reply.kind === 'done' || reply.kind === 'error';
        if (reply.kind === 'error') throw untell(reply.error);
        if (reply.kind === 'done') return;
        yield reply;
      }
    } finally {
      this.signal?.removeEventListener('abort', stop);
      talks.delete(this.id);
      if (!ended) this.send({ kind: 'cancel' });
      for (const reply of this.replies) if (reply.kind === 'picture') reply.bitmap.close();
    }
  }
}

type DistributiveOmit<T, Key extends PropertyKey> = T extends unknown ? Omit<T, Key> : never;
