/** Parts of model packages over HTTP: deflated files beside a list of what they hold. */

import { hex } from './container.js';
import { Damaged, InvalidInput, ModelMissing } from './errors.js';
import { inflate } from './inflate.js';
import { checkId, Model, type Parts } from './model.js';

/** No part is larger, inflated. */
const MOST_BYTES = 2 ** 27;
/** Name of the list of parts: SHA-256 of each, inflated. */
export const LIST = 'parts.json';
export const SUFFIX = '.zlib';
const CACHE = 'rgru-models';

/** A model below `base`, a URL that ends in a slash: `base`/`id`/NAME.zlib. */
export function fetchedModel(base: string, id: string): Model {
  return new Model(checkId(id), fetchedParts(new URL(`${id}/`, base).href, id));
}

function fetchedParts(folder: string, id: string): Parts {
  let list: Promise<Record<string, string>> | undefined;
  return async (name) => {
    list ??= fetchBytes(`${folder}${LIST}`, id).then(parseList);
    list.catch(() => (list = undefined));
    const url = `${folder}${name}${SUFFIX}`;
    // Encoders of a model may get better; what decodes it never changes.
    const isEncoder = name.startsWith('encoder');
    if (isEncoder && !(await list)[name]) throw new InvalidInput(`model ${id} has no ${name}`);
    const cache = isEncoder ? undefined : await openCache();
    const kept = await cache?.match(url).catch(() => undefined);
    const [data, sums] = await Promise.all([kept?.arrayBuffer() ?? fetchBytes(url, id), list]);
    const part = await partOf(new Uint8Array(data), name, sums[name]);
    if (part && !kept) cache?.put(url, new Response(data)).catch(() => undefined); // a full disk is no reason to fail
    if (part) return part;
    if (kept) {
      await cache?.delete(url);
      const again = await partOf(await fetchBytes(url, id), name, sums[name]);
      if (again) return again;
    }
    throw new InvalidInput(`${url}: not what ${LIST} says`);
  };
}

/** What was deflated, if it is what the list says. */
async function partOf(data: Uint8Array, name: string, sum: string | undefined): Promise<Uint8Array | undefined> {
  try {
    const part = await inflate(data, MOST_BYTES, name);
    return sum !== undefined && (await matches(part, sum)) ? part : undefined;
  } catch (error) {
    if (error instanceof Damaged) return undefined;
    throw error;
  }
}

/** SHA-256 of each part, in hexadecimal, by name. */
export function parseList(data: Uint8Array): Record<string, string> {
  try {
    const { sha256 } = JSON.parse(new TextDecoder().decode(data)) as { sha256: Record<string, string> };
    if (sha256 && typeof sha256 === 'object') return sha256;
  } catch {
    // told below
  }
  throw new InvalidInput(`${LIST} of a model is not a list of its parts`);
}

/** Pages that are not served securely have no SHA-256; a zlib stream has a checksum of its own. */
async function matches(data: Uint8Array, sum: string): Promise<boolean> {
  const { subtle } = globalThis.crypto ?? {};
  if (!subtle) return true;
  return hex(new Uint8Array(await subtle.digest('SHA-256', data as Uint8Array<ArrayBuffer>))) === sum;
}

async function fetchBytes(url: string, id: string): Promise<Uint8Array<ArrayBuffer>> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new ModelMissing(id, `${url}: ${(error as Error).message}`);
  }
  if (!response.ok) throw new ModelMissing(id, `${url}: ${response.status} ${response.statusText}`.trim());
  return new Uint8Array(await response.arrayBuffer());
}

async function openCache(): Promise<Cache | undefined> {
  return globalThis.caches?.open(CACHE).catch(() => undefined);
}
