/** The sizes of the models that a decoder needs, as the weight file has them. */

export { PATCH_PX } from "../bitstream/header.ts";
/** Positions of the latents a side of a patch. */
export const LATENTS_A_SIDE = 4;

export interface ModelConfig {
  luma_context: number;
  chroma_context: number;
  level_channels: number[];
  checkerboard_levels: number;
  prior_width: number;
  prior_zones: number[];
  prior_slices: number;
  synthesis_blocks: [number, number];
  /** Quality from which the transform leaves its networks; 100: never. */
  linear_from: number;
}

export function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

export function contextChannels(config: ModelConfig): number {
  return config.luma_context ** 2 + 2 * config.chroma_context ** 2;
}

/** Return the quantisation step for orthonormal coefficients of pixels in 0...255. */
export function stepOf(quality: number): number {
  const lmbda = 4e-4 * (0.6 / 4e-4) ** (quality / 100);
  return Math.sqrt(6 / (lmbda * Math.log(2)));
}
