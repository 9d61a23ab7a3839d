/** What pages and the worker say to each other. */

import type { Header } from './container.js';
import type { Told } from './errors.js';
import type { DecodeOptions, EncodeOptions, Pixels } from './options.js';

/** Options that can be sent. */
export type Sent<T> = Omit<T, 'signal'>;

export interface EncodeTask extends Sent<EncodeOptions> {
  /** Whether the picture after each layer is wanted. */
  show?: boolean | undefined;
}

export type Request = { id: number } & (
  | { kind: 'decode'; models: string; options: Sent<DecodeOptions> }
  | { kind: 'encode'; models: string; model: string; image: Pixels | ImageBitmap; options: EncodeTask }
  /** The next bytes of a file, which were asked for; null: there are no more. */
  | { kind: 'bytes'; data: Uint8Array | null }
  | { kind: 'cancel' }
);

export type Reply = { id: number } & (
  | { kind: 'more' }
  | { kind: 'header'; header: Header }
  | { kind: 'picture'; layers: number; groups: number; bytes: number; bitmap: ImageBitmap }
  | { kind: 'piece'; layers: number; piece: Uint8Array; bitmap?: ImageBitmap | undefined }
  | { kind: 'done' }
  | { kind: 'error'; error: Told }
);
