/** Makes what a canvas draws, in the colours of a profile: browsers convert those of a PNG. */

import type { Index } from "./bitstream/container.ts";
import { profileNameOf } from "./bitstream/metadata.ts";
import { type Pixels, quickPngOf } from "./png.ts";

/** Return pixels of a file as an ImageBitmap; a profile that the browser does not know is not heeded. */
export async function bitmapOf(pixels: Pixels, index: Index): Promise<ImageBitmap> {
  if (hasOtherColours(index)) {
    try {
      return await createImageBitmap(quickPngOf(pixels, index));
    } catch {
      // as `<img>` shows such a picture
    }
  }
  return createImageBitmap(new ImageData(pixels.rgba, pixels.width, pixels.height));
}

/** Tell whether a file has other colours than those of a canvas: sRGB. */
export function hasOtherColours({ metadata: { icc } }: Index): boolean {
  return icc !== undefined && !profileNameOf(icc).startsWith("sRGB");
}
