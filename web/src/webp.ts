/** Decodes lossless WebP by libwebp: a script of its own, which photographs do not need. */

import load from "@jsquash/webp/codec/dec/webp_dec.js";
import type { DecodeWebp } from "./codec/lossless.ts";

/** Return what decodes WebP files, by the compiled `webp_dec.wasm`. */
export async function open(wasmBinary: ArrayBuffer): Promise<DecodeWebp> {
  const libwebp = await load({ wasmBinary });
  return (file) => libwebp.decode(file)?.data ?? null;
}
