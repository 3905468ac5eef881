/** Makes what a canvas draws, in the colours of a profile: browsers convert those of a PNG. */

import { profileNameOf } from "./bitstream/metadata.ts";
import { type Pixels, quickPngOf } from "./png.ts";

/** Return pixels as an ImageBitmap; a profile that the browser does not know is not heeded. */
export async function bitmapOf(pixels: Pixels, icc?: Uint8Array): Promise<ImageBitmap> {
  if (hasOtherColours(icc)) {
    try {
      return await createImageBitmap(quickPngOf(pixels, icc));
    } catch {
      // as `<img>` shows such a picture
    }
  }
  return createImageBitmap(new ImageData(pixels.rgba, pixels.width, pixels.height));
}

/** Tell whether a profile is of other colours than those of a canvas: sRGB. */
export function hasOtherColours(icc: Uint8Array | undefined): icc is Uint8Array {
  return icc !== undefined && !profileNameOf(icc).startsWith("sRGB");
}
