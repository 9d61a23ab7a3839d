/** What build.mjs puts in. */
declare module 'rgru-wasm' {
  /** zlib streams. */
  export const simd: Uint8Array;
  export const relaxed: Uint8Array;
}
declare module 'rgru-worker' {
  /** The worker's program. */
  const code: string;
  export default code;
}
