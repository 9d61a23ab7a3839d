/** Long work in small pieces: what else happens in this thread, a cancellation say, is let through. */

/** Milliseconds of work between two pauses. */
const WORK = 25;

export class Pace {
  private last = now();

  constructor(private readonly signal?: AbortSignal | undefined) {}

  /**
   * Pause if it is time for it.
   * @throws the signal's reason if it was aborted
   */
  async rest(): Promise<void> {
    this.signal?.throwIfAborted();
    if (now() - this.last < WORK) return;
    await turn();
    this.last = now();
    this.signal?.throwIfAborted();
  }
}

function now(): number {
  return performance.now();
}

/** Resolves when all that waits has had its turn; timers would take 4 ms. */
function turn(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (call: () => void) => void };
  if (setImmediate) return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
