/** The DCT coefficients that are coded, and their order: coarse frequencies first. */

import { type ModelConfig, sum } from "./config.ts";

/** Plane (0 is luma), row frequency, column frequency. */
export type Coefficient = readonly [number, number, number];

const CHROMA_FACTOR = 1.4142;

export function contextOrder(config: ModelConfig): Coefficient[] {
  const sides = [config.luma_context, config.chroma_context, config.chroma_context];
  return ordered(sides, () => 1);
}

export function latentOrder(config: ModelConfig): Coefficient[] {
  const every = ordered([8, 8, 8], (plane) => (plane ? CHROMA_FACTOR : 1));
  return every.slice(0, sum(config.level_channels));
}

function ordered(sides: number[], factor: (plane: number) => number): Coefficient[] {
  const kept: Coefficient[] = sides.flatMap((side, plane) =>
    Array.from({ length: side * side }, (_, i) => [plane, Math.floor(i / side), i % side] as const),
  );
  // squares: roots of equal ones may be rounded differently
  const key = ([plane, row, column]: Coefficient) => (row ** 2 + column ** 2) * factor(plane) ** 2;
  // sorting is stable, and coefficients of one frequency already stand by plane, row and column
  return kept.sort((a, b) => key(a) - key(b));
}
