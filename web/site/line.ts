/** A line of some speed, and how far a file has come on it. */

const TICK = 50;

/** The file as it comes over a line of so many bytes a second; 0: at once. */
export async function* overLine(
  file: Uint8Array,
  rate: number,
  signal: AbortSignal,
  came: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  if (!rate) {
    came(file.length);
    yield file;
    return;
  }
  const began = performance.now();
  for (let at = 0; at < file.length;) {
    const end = Math.min(file.length, Math.max(at, Math.floor(((performance.now() - began) / 1000) * rate)));
    if (end > at) yield file.subarray(at, end);
    at = end;
    came(at);
    if (at < file.length) await new Promise((resolve) => setTimeout(resolve, TICK));
    signal.throwIfAborted();
  }
}
