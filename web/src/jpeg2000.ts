/** Decodes JPEG 2000 by OpenJPEG: a script of its own, which few pictures need. */

import load from "@cornerstonejs/codec-openjpeg/decodewasmjs";
import type { DecodeJpeg2000 } from "./codec/lossless.ts";

/** The markers that a codestream begins with; sizes follow at byte 8, those of tiles at byte 24. */
const SOC_SIZ = 0xff4fff51;

/** Return what decodes codestreams, by the compiled `openjpegwasm_decode.wasm`. */
export async function open(wasmBinary: ArrayBuffer): Promise<DecodeJpeg2000> {
  const openjpeg = await load({ wasmBinary, print: () => undefined, printErr: () => undefined });
  return (codestream, [height, width]) => {
    // the size is looked at first, so that a made-up one takes no memory
    const { buffer, byteOffset, byteLength } = codestream;
    const begin = new DataView(buffer, byteOffset, byteLength);
    if (byteLength < 42 || begin.getUint32(0) !== SOC_SIZ) return null;
    const sizes = [width, height, 0, 0, width, height, 0, 0]; // one tile: many take memory
    if (sizes.some((size, i) => begin.getUint32(8 + 4 * i) !== size)) return null;
    if (begin.getUint16(40) !== 1) return null;
    const decoder = new openjpeg.J2KDecoder();
    try {
      decoder.getEncodedBuffer(byteLength).set(codestream);
      decoder.decode();
      const is = decoder.getFrameInfo(); // zeros where it does not decode
      const isGrey = is.componentCount === 1 && is.bitsPerSample === 16 && !is.isSigned;
      if (is.width !== width || is.height !== height || !isGrey) return null;
      return new Uint16Array(decoder.getDecodedBuffer().buffer);
    } finally {
      decoder.delete();
    }
  };
}
