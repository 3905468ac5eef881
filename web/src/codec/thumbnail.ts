/** The picture at 1/8, 1/16 or 1/32 of its size, from the context alone (codec/thumbnail.py). */

import { type ModelConfig, PATCH_PX, stepOf } from "./config.ts";
import { contextOrder } from "./frequencies.ts";

/** Full-range BT.601, each plane about zero: rows are R, G, B. */
const RGB_OF = [
  [1, 0, 1.402],
  [1, -0.344136, -0.714136],
  [1, 1.772, 0],
];

/**
 * Return the image of a context (C, h, w): RGB (3, side · h, side · w) in 0...255, not clamped.
 *
 * @param side - of a patch in px: 1, 2 or 4
 */
export function contextThumbnail(
  config: ModelConfig,
  context: Float32Array,
  [height, width]: [number, number],
  quality: number,
  side: number,
): Float32Array {
  const patches = height * width;
  const step = stepOf(quality);
  const basis = dct(side);
  const rgb = new Float32Array(3 * side * side * patches).fill(128);
  const order = contextOrder(config);
  order.forEach(([plane, i, j], channel) => {
    if (Math.max(i, j) >= side) return;
    const gain = step * (i || j ? 1.25 : 1) * (side / PATCH_PX); // a mean stays a mean
    for (let y = 0; y < side * height; y++) {
      for (let x = 0; x < side * width; x++) {
        const patch = Math.floor(y / side) * width + Math.floor(x / side);
        const level = context[channel * patches + patch];
        if (!level) continue;
        const value = level * gain * basis[i][y % side] * basis[j][x % side];
        const at = y * side * width + x;
        for (let c = 0; c < 3; c++) rgb[c * side * side * patches + at] += RGB_OF[c][plane] * value;
      }
    }
  });
  return rgb;
}

/** Return the orthonormal type-II DCT as rows of frequencies. */
function dct(size: number): number[][] {
  return Array.from({ length: size }, (_, i) =>
    Array.from(
      { length: size },
      (_, n) => Math.cos((Math.PI / size) * (n + 0.5) * i) * Math.sqrt((i ? 2 : 1) / size),
    ),
  );
}
