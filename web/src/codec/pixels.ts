/** What the networks and alpha give, as RGBA samples of some rectangle. */

import { sizeOf, type Window } from "./tiling.ts";

/** A plane of alpha, and where it lies in px. */
export interface Alpha {
  window: Window;
  values: Uint8Array;
}

/**
 * Return a rectangle of RGB (3, h, w) as opaque RGBA, rounded and clamped.
 *
 * @param window - where `rgb` lies, in px
 * @param out - the rectangle within it
 * @param isGrey - whether the first plane serves all three
 */
export function rgbaOf(
  rgb: Float32Array,
  window: Window,
  out: Window,
  isGrey: boolean,
): Uint8ClampedArray<ArrayBuffer> {
  const [height, width] = sizeOf(out);
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  const columns = window.right - window.left;
  const green = isGrey ? 0 : rgb.length / 3;
  for (let row = 0; row < height; row++) {
    let from = (out.top + row - window.top) * columns + out.left - window.left;
    for (let to = 4 * row * width; to < 4 * (row + 1) * width; to += 4, from++) {
      rgba[to] = rgb[from];
      rgba[to + 1] = rgb[from + green];
      rgba[to + 2] = rgb[from + 2 * green];
    }
  }
  return rgba;
}

/** Squeeze colours into the part of 16 bits that they had before they were coded. */
export function squeeze(rgba: Uint8ClampedArray, [low, high]: [number, number]): void {
  const table = Uint8ClampedArray.from(
    { length: 256 },
    (_, value) => (low + (value * (high - low)) / 255) / 257,
  );
  for (let i = 0; i < rgba.length; i++) if (i % 4 < 3) rgba[i] = table[rgba[i]];
}

/** Lay alpha over RGBA of a rectangle `out` of the picture at 1/scale: means of its px. */
export function layAlpha(
  rgba: Uint8ClampedArray,
  out: Window,
  { window, values }: Alpha,
  scale: number,
): void {
  const [height, width] = sizeOf(window);
  let at = 3;
  for (let y = out.top; y < out.bottom; y++) {
    const [top, bottom] = [y * scale - window.top, Math.min((y + 1) * scale - window.top, height)];
    for (let x = out.left; x < out.right; x++, at += 4) {
      const [left, right] = [
        x * scale - window.left,
        Math.min((x + 1) * scale - window.left, width),
      ];
      let total = 0;
      for (let i = top; i < bottom; i++) {
        for (let j = left; j < right; j++) total += values[i * width + j];
      }
      rgba[at] = total / ((bottom - top) * (right - left));
    }
  }
}
