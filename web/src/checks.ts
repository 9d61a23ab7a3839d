/** Options, looked at before any work: JavaScript takes '0.9' for a number wherever it compares. */

import { InvalidInput } from './errors.js';
import { limitsOf } from './limits.js';
import type { DecodeOptions, EncodeOptions } from './options.js';
import { shown } from './shown.js';

const PICTURES: unknown[] = ['all', 'latest', 'last', 'none'];

/** @throws InvalidInput an option of decoding, `signal` apart, is of another type than it says, or out of range */
export function checkDecode({ limits, layers, partial, pictures }: DecodeOptions): void {
  limitsOf(limits);
  check('layers', layers, isCount(layers), 'a whole number, 0 or more');
  checkFlag('partial', partial);
  check('pictures', pictures, PICTURES.includes(pictures), 'all, latest, last or none');
}

/** @throws InvalidInput an option of encoding is of another type than it says, or out of range */
export function checkEncode({ limits, layers, msssim, maxBytes, encoder, signal }: EncodeOptions): void {
  limitsOf(limits);
  checkSignal(signal);
  check('layers', layers, layers === 'all' || isCount(layers), "a whole number, 0 or more, or 'all'");
  check('msssim', msssim, isAbove0(msssim) && msssim < 1, 'a number between 0 and 1');
  check('maxBytes', maxBytes, isAbove0(maxBytes), 'a number above 0');
  check('encoder', encoder, typeof encoder === 'string', 'the name of an encoder');
}

/**
 * Signals of frames, whose class is another, are as good; null is none, as of `fetch`.
 * @throws InvalidInput it is no signal
 */
export function checkSignal(signal: AbortSignal | null | undefined): void {
  const calls: unknown[] = [signal?.throwIfAborted, signal?.addEventListener, signal?.removeEventListener];
  const fits = calls.every((call) => typeof call === 'function');
  check('signal', signal ?? undefined, fits, 'an AbortSignal, as the signal of an AbortController is');
}

/** @throws InvalidInput something is neither true nor false: 'no' would count as true */
export function checkFlag(name: string, value: unknown): void {
  check(name, value, typeof value === 'boolean', 'true or false');
}

/** @throws InvalidInput an option that is given does not fit */
export function check(name: string, value: unknown, fits: boolean, what: string): void {
  if (value !== undefined && !fits) throw new InvalidInput(`${name} must be ${what}, got ${shown(value)}`);
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0;
}

function isAbove0(value: unknown): value is number {
  return typeof value === 'number' && value > 0;
}
