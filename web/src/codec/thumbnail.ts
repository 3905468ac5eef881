/** The picture at 1/8, 1/16 or 1/32 of its size, from the context alone (codec/tiles/thumbnail.py). */

import { type ModelConfig, PATCH_PX, stepOf } from "./config.ts";
import { contextOrder } from "./frequencies.ts";
import type { Qualities } from "./qualities.ts";

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
  qualities: Qualities,
  side: number,
): Float32Array {
  const patches = height * width;
  const size = side * side * patches;
  // a mean stays a mean
  const steps = Float64Array.from(qualities.patches, stepOf).map(
    (step) => step * (side / PATCH_PX),
  );
  const stepAt = qualities.size ? (patch: number) => steps[patch] : () => steps[0];
  const basis = dct(side);
  const planes = new Float32Array(3 * size); // Y, Cb, Cr
  contextOrder(config).forEach(([plane, i, j], channel) => {
    if (Math.max(i, j) >= side) return;
    const gain = i || j ? 1.25 : 1;
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const factor = gain * basis[i][y] * basis[j][x];
        for (let row = 0; row < height; row++) {
          const from = channel * patches + row * width;
          const to = plane * size + (row * side + y) * side * width + x;
          for (let n = 0; n < width; n++) {
            planes[to + n * side] += context[from + n] * factor * stepAt(row * width + n);
          }
        }
      }
    }
  });
  const rgb = new Float32Array(3 * size);
  RGB_OF.forEach(([luma, blue, red], c) => {
    for (let i = 0; i < size; i++) {
      const chroma = blue * planes[size + i] + red * planes[2 * size + i];
      rgb[c * size + i] = 128 + luma * planes[i] + chroma;
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
