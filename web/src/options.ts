/** What callers pass, and the pictures they get: types that need nothing of how it is done. */

import type { GivenLimits } from './limits.js';

/** Pixels, four bytes each: red, green, blue and alpha (straight), 0 to 255. */
export interface Pixels {
  width: number;
  height: number;
  data: Uint8ClampedArray | Uint8Array;
}

export interface DecodeOptions {
  /** What to spend at most. */
  limits?: GivenLimits | undefined;
  signal?: AbortSignal | undefined;
  /** Layers to decode at most; nothing behind them is read. */
  layers?: number | undefined;
  /** Of a damaged file, give what comes before the damage; the error is not raised. For `decode`. */
  partial?: boolean | undefined;
  /** `all`: one for each layer; `latest`: not of layers behind which the next is there already; `last`; `none`. */
  pictures?: 'all' | 'latest' | 'last' | 'none' | undefined;
}

/** A picture, and what of the file it took. */
export interface Picture {
  width: number;
  height: number;
  /** Whole layers in it. */
  layers: number;
  /** Groups of a further layer in it. */
  groups: number;
  /** Bytes of the file up to there. */
  bytes: number;
  /** Red, green, blue and alpha (straight), 0 to 255. */
  pixels: Uint8ClampedArray<ArrayBuffer>;
  colour: 'srgb' | 'display-p3';
  grey: boolean;
}

export interface EncodeOptions {
  /** Layers to write, or `'all'` that the model has. */
  layers?: number | 'all' | undefined;
  /** MS-SSIM with which no further layer is written: .98 if neither layers nor bytes are given either. */
  msssim?: number | undefined;
  /** Bytes that the file may have: the last layer that does not fit is left out, and those behind it. */
  maxBytes?: number | undefined;
  /** Name of the model's encoder; `default` if it is not given. */
  encoder?: string | undefined;
  limits?: GivenLimits | undefined;
  signal?: AbortSignal | undefined;
}
