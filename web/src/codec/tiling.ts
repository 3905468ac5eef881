/** Where tiles lie in the grid of patches, and what of their surroundings a network sees. */

import type { Header } from "../bitstream/header.ts";
import { type ModelConfig, PATCH_PX } from "./config.ts";

/** A rectangle, of patches or of px: rows top...bottom - 1, columns left...right - 1. */
export interface Window {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

/** Return the patches around a tile that hold the synthesis' receptive field. */
export function synthesisHalo(config: ModelConfig): number {
  const [coarse, fine] = config.synthesis_blocks;
  return Math.ceil((8 * 2 * coarse + 4 * 2 * fine) / PATCH_PX);
}

export function sizeOf(window: Window): [number, number] {
  return [window.bottom - window.top, window.right - window.left];
}

export function grown(window: Window, halo: number, within: Window): Window {
  return {
    top: Math.max(window.top - halo, within.top),
    left: Math.max(window.left - halo, within.left),
    bottom: Math.min(window.bottom + halo, within.bottom),
    right: Math.min(window.right + halo, within.right),
  };
}

/** Return a window in a grid that is `by` times as fine. */
export function multiplied({ top, left, bottom, right }: Window, by: number): Window {
  return { top: top * by, left: left * by, bottom: bottom * by, right: right * by };
}

/** Return the smallest window in a grid that is `by` times as coarse that holds another one. */
export function divided({ top, left, bottom, right }: Window, by: number): Window {
  return {
    top: Math.floor(top / by),
    left: Math.floor(left / by),
    bottom: Math.ceil(bottom / by),
    right: Math.ceil(right / by),
  };
}

/** Return what both windows share, or null. */
export function shared(a: Window, b: Window): Window | null {
  const both = {
    top: Math.max(a.top, b.top),
    left: Math.max(a.left, b.left),
    bottom: Math.min(a.bottom, b.bottom),
    right: Math.min(a.right, b.right),
  };
  return both.bottom > both.top && both.right > both.left ? both : null;
}

export function patchGrid({ width, height }: Header): Window {
  return {
    top: 0,
    left: 0,
    bottom: Math.ceil(height / PATCH_PX),
    right: Math.ceil(width / PATCH_PX),
  };
}

/** Return the px of some patches that are within the picture. */
export function pixelsOf(patches: Window, { width, height }: Header): Window {
  return shared(multiplied(patches, PATCH_PX), { top: 0, left: 0, bottom: height, right: width })!;
}

/** Return the windows of all tiles, row by row. */
export function tileWindows(header: Header): Window[] {
  const grid = patchGrid(header);
  const side = header.tileSide;
  const windows: Window[] = [];
  for (let top = 0; top < grid.bottom; top += side) {
    for (let left = 0; left < grid.right; left += side) {
      windows.push({
        top,
        left,
        bottom: Math.min(top + side, grid.bottom),
        right: Math.min(left + side, grid.right),
      });
    }
  }
  return windows;
}

/** Lay `part` (C, its window · scale) over `whole` (C, its window · scale), where they meet. */
export function lay(
  whole: Float32Array,
  seen: Window,
  part: Float32Array,
  window: Window,
  scale: number,
): void {
  const both = shared(seen, window);
  if (!both) return;
  const [height, width] = sizeOf(seen).map((side) => side * scale);
  const [rows, columns] = sizeOf(window).map((side) => side * scale);
  const length = (both.right - both.left) * scale;
  for (let channel = 0; channel < whole.length / (height * width); channel++) {
    for (let row = both.top * scale; row < both.bottom * scale; row++) {
      const from = (channel * rows + row - window.top * scale) * columns;
      const to = (channel * height + row - seen.top * scale) * width;
      const begin = from + (both.left - window.left) * scale;
      whole.set(part.subarray(begin, begin + length), to + (both.left - seen.left) * scale);
    }
  }
}

/** Cut an array (C, its window · scale) to a part of its window. */
export function cut(
  array: Float32Array,
  window: Window,
  part: Window,
  scale: number,
): Float32Array {
  const area = (of: Window) => sizeOf(of)[0] * sizeOf(of)[1];
  const smaller = new Float32Array((array.length / area(window)) * area(part));
  lay(smaller, part, array, window, scale);
  return smaller;
}

/** Divide a window into pieces of nearly equal sides, each of at most `side` patches. */
export function pieces(window: Window, side: number): Window[] {
  const edges = (begin: number, end: number) => {
    const count = Math.ceil((end - begin) / side);
    return Array.from(
      { length: count + 1 },
      (_, i) => begin + Math.round(((end - begin) * i) / count),
    );
  };
  const [rows, columns] = [edges(window.top, window.bottom), edges(window.left, window.right)];
  return rows
    .slice(1)
    .flatMap((bottom, row) =>
      columns
        .slice(1)
        .map((right, column) => ({ top: rows[row], left: columns[column], bottom, right })),
    );
}
