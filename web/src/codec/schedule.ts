/** In which steps context and latents are coded (codec/symbols/schedule.py draws it). */

import { contextChannels, type ModelConfig } from "./config.ts";
import { contextOrder, latentOrder } from "./frequencies.ts";

/** Positions of a grid: whether it takes (row mod 4, column mod 4); null takes all. */
export type Squares = ((row: number, column: number) => boolean) | null;

const even = (row: number, column: number) => (row + column) % 2 === 0;
const CORNERS: Squares = (row, column) => row === 0 && column === 0;
const EVEN: Squares = (row, column) => even(row, column) && row % 2 === 0;
const EVEN_BUT_CORNERS: Squares = (row, column) =>
  EVEN(row, column) && !(row === 0 && column === 0);
const ODD_ANCHORS: Squares = (row, column) => even(row, column) && row % 2 === 1;
const NON_ANCHORS: Squares = (row, column) => !even(row, column);

const FIRST_ZONE: [Squares, boolean][] = [
  [CORNERS, false],
  [EVEN_BUT_CORNERS, true],
  [ODD_ANCHORS, true],
  [NON_ANCHORS, true],
];
const OTHER_ZONES: [Squares, boolean][] = [
  [EVEN, true],
  [ODD_ANCHORS, false],
  [NON_ANCHORS, true],
];

/** One step of a top-down pass. */
export interface Step {
  number: number;
  /** The zone of the context, or the level of the latents. */
  level: number;
  /** Its channels are start...stop - 1. */
  start: number;
  stop: number;
  squares: Squares;
  /** Whether a residual block updates the state first. */
  hasBlock: boolean;
  /** (start, stop) of the channels that are coded together. */
  slices: [number, number][];
}

export function contextSchedule(config: ModelConfig): Step[] {
  const channels = contextChannels(config);
  const ends = [...config.prior_zones.filter((end) => end < channels), channels];
  const steps: Step[] = [];
  ends.forEach((stop, level) => {
    const start = level ? ends[level - 1] : 0;
    const count = Math.min(config.prior_slices, stop - start);
    const edge = (i: number) => start + Math.floor(((stop - start) * i) / count);
    for (const [squares, hasBlock] of level ? OTHER_ZONES : FIRST_ZONE) {
      const slices = Array.from({ length: count }, (_, i): [number, number] => [
        edge(i),
        edge(i + 1),
      ]);
      steps.push({ number: steps.length, level, start, stop, squares, hasBlock, slices });
    }
  });
  return steps;
}

export function latentSchedule(config: ModelConfig): Step[] {
  const steps: Step[] = [];
  let start = 0;
  config.level_channels.forEach((channels, level) => {
    const stop = start + channels;
    for (const squares of level < config.checkerboard_levels ? [even, NON_ANCHORS] : [null]) {
      const slices: [number, number][] = [[start, stop]];
      steps.push({ number: steps.length, level, start, stop, squares, hasBlock: true, slices });
    }
    start = stop;
  });
  return steps;
}

/** Tell which channels are coded: all, or luma's alone. */
export function contextMask(config: ModelConfig, isGrey: boolean): boolean[] {
  return contextOrder(config).map(([plane]) => !isGrey || plane === 0);
}

export function latentMask(config: ModelConfig, isGrey: boolean): boolean[] {
  return latentOrder(config).map(([plane]) => !isGrey || plane === 0);
}

/** Return the flat positions of some squares in row-major order. */
export function positions(height: number, width: number, squares: Squares): Int32Array {
  const found: number[] = [];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      if (!squares || squares(row % 4, column % 4)) found.push(row * width + column);
    }
  }
  return Int32Array.from(found);
}
