/** What is used of the package. */
declare module "@jsquash/webp/codec/dec/webp_dec.js" {
  interface LibWebp {
    decode(file: Uint8Array): { data: Uint8ClampedArray<ArrayBuffer> } | null;
  }

  export default function open(options: { wasmBinary: ArrayBuffer }): Promise<LibWebp>;
}
