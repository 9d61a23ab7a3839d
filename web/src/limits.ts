/** What a decoder is willing to spend, and what SPEC section 9 allows. */

import { InvalidInput, LimitExceeded } from './errors.js';
import { shown } from './shown.js';

/** Side of the square of pixels that one position of the grid stands for. */
export const POSITION = 16;
export const MOST_PAYLOAD = 2 ** 30 - 1;
export const MOST_CODES = 1024;
export const MOST_GROUPS = 64;
export const MOST_LAYERS = 64;
export const MOST_BOXES = 256;

/** Positions that nobody needs to be kept from, however low the limit and thin the picture. */
const FEW = 256;
/** Pixels of a side below which a picture is thin. */
const NARROW = 9;
/** Pixels that a position counts as in thin pictures. */
const THIN = 2 ** 16;

/** Bounds that a caller puts on a decoder; the defaults are safe for unknown files. */
export interface Limits {
  /** Width times height; where a side has less than 9 pixels the positions count, 2^16 each. */
  maxPixels: number;
  /** Types and contents of all boxes, inflated, the alpha plane apart. */
  maxMetadataBytes: number;
  /** Bytes of working memory. */
  maxMemory: number;
}

/** Limits that a caller sets; the defaults hold for the others. */
export type GivenLimits = { [Name in keyof Limits]?: number | undefined };

export const DEFAULT_LIMITS: Limits = { maxPixels: 2 ** 26, maxMetadataBytes: 2 ** 24, maxMemory: 2 ** 32 - 2 ** 16 };

/** @throws InvalidInput they are no object, or one has another name, is no number, or below 0 */
export function limitsOf(given: GivenLimits | undefined): Limits {
  if (typeof (given ?? {}) !== 'object')
    throw new InvalidInput(`limits must be an object such as {maxPixels: 1e7}, got ${shown(given)}`);
  const limits = { ...DEFAULT_LIMITS };
  for (const name of Object.keys(given ?? {}))
    if (!Object.hasOwn(limits, name))
      throw new InvalidInput(`limits: ${shown(name)} is none of ${Object.keys(limits).join(', ')}`);
  for (const name of Object.keys(limits) as (keyof Limits)[]) {
    const value: unknown = given?.[name] ?? limits[name];
    if (typeof value !== 'number' || !(value >= 0))
      throw new InvalidInput(`limits: ${name} must be a number, 0 or more, got ${shown(value)}`);
    limits[name] = value;
  }
  return limits;
}

/** Rows and columns of the grid of a picture. */
export function gridSize(height: number, width: number): [number, number] {
  return [Math.ceil(height / POSITION), Math.ceil(width / POSITION)];
}

/** @throws LimitExceeded a picture has more pixels than allowed */
export function checkPixels(height: number, width: number, limits: Limits): void {
  const [rows, columns] = gridSize(height, width);
  let pixels = height * width;
  if (Math.min(height, width) < NARROW && rows * columns > FEW) pixels = rows * columns * THIN;
  if (pixels > limits.maxPixels) throw new LimitExceeded('maxPixels', pixels, limits.maxPixels);
}

/** Bytes that the payload of a group of `codes` codes a position can need. */
export function largestPayload(positions: number, codes: number): number {
  return 2 * positions * codes + 8;
}

/** Bytes that the content of an alpha box can need. */
export function largestAlpha(height: number, width: number): number {
  const expanded = height * (width + 1);
  return expanded + Math.floor(expanded / 1024) + 64;
}
