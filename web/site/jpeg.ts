/** The browser's own JPEG, as large as a number of bytes allows. */

const PROFILE = 0xe2;
const SCAN = 0xda;
const STEPS = 9;

/** Without segments that hold a colour profile: browsers write one of some 500 bytes into each file. */
export function withoutProfile(file: Uint8Array): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [file.subarray(0, 2)];
  let at = 2;
  while (at + 4 <= file.length && file[at] === 0xff && file[at + 1] !== SCAN) {
    const end = at + 2 + ((file[at + 2] as number) << 8) + (file[at + 3] as number);
    if (file[at + 1] !== PROFILE) parts.push(file.subarray(at, end));
    at = end;
  }
  parts.push(file.subarray(at));
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((place, part) => (whole.set(part, place), place + part.length), 0);
  return whole;
}

/** The best JPEG of at most so many bytes; the smallest there is where none is that small. */
export async function jpegOf(canvas: OffscreenCanvas, bytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const made = async (quality: number): Promise<Uint8Array<ArrayBuffer>> => {
    const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality });
    return withoutProfile(new Uint8Array(await blob.arrayBuffer()));
  };
  let best = await made(0);
  let [low, high] = [0, 1];
  for (let i = 0; i < STEPS && best.length <= bytes; i++) {
    const quality = (low + high) / 2;
    const file = await made(quality);
    if (file.length > bytes) high = quality;
    else [low, best] = [quality, file];
  }
  return best;
}
