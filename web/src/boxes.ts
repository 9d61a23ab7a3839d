/** Boxes: data about the picture beside its codes (SPEC section 6). */

import { Damaged, LimitExceeded } from './errors.js';
import { inflate, TooLong } from './inflate.js';

export const COLOUR = 'cicp';
export const ICC = 'iccp';
export const ALPHA = 'ALPH';
/** Boxes that say what colours mean: before layer 1, one of them at most. */
export const COLOUR_BOXES = new Set([COLOUR, ICC]);
/** Boxes whose content may be deflated. */
export const METADATA_BOXES = new Set([ICC, 'exif', 'xmp ']);
/** Boxes that occur once at most. */
export const SINGLE_BOXES = new Set([...COLOUR_BOXES, ...METADATA_BOXES, ALPHA]);

export interface Box {
  type: string;
  /** Inflated, except that of the alpha plane. */
  content: Uint8Array;
}

/** Four bytes of printable ASCII, the first a letter. */
export function isType(type: string): boolean {
  return /^[A-Za-z][\x20-\x7e]{3}$/.test(type);
}

/** Whether a decoder that does not know the type must not show the picture. */
export function isCritical(type: string): boolean {
  return /^[A-Z]/.test(type);
}

/**
 * What a box says, from its content as it stands in a file.
 * @param room bytes that it may have
 * @param most the limit of which `room` is left
 * @throws Damaged without a place; LimitExceeded
 */
export async function unpackContent(type: string, stored: Uint8Array, room: number, most: number): Promise<Uint8Array> {
  if (type === COLOUR && (stored.length !== 4 || stored[2] !== 0 || stored[3] !== 1))
    throw new Damaged('the box cicp does not hold two code points, 0 and 1');
  if (!METADATA_BOXES.has(type)) return stored;
  const content = stored.subarray(1);
  if (stored[0] === 0) return content;
  if (stored[0] !== 1) throw new Damaged(`the box ${type} has the unknown form ${stored[0] ?? 'of no bytes'}`);
  try {
    return await inflate(content, room, `the box ${type}`);
  } catch (error) {
    if (error instanceof TooLong) throw new LimitExceeded('maxMetadataBytes', most + 1, most);
    throw error;
  }
}
