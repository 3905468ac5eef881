/** What of a file is decoded, what is shown of it on the way, and what does the work. */

import type { Index } from "../bitstream/container.ts";
import { HvaeError } from "../bitstream/errors.ts";
import type { DecodeJpeg2000, DecodeWebp } from "./lossless.ts";
import type { Codec } from "./codec.ts";
import type { Window } from "./tiling.ts";

export interface DecodeOptions {
  /** Levels of latents, all by default; the rest is left at its means. */
  levels?: number;
  /** x, y, width and height in px; only the tiles that it touches are decoded. */
  region?: [number, number, number, number];
  /** 8: the context alone, at 1/8 of the size. */
  scale?: 1 | 8;
  /** Show what is left of a damaged or cut file. */
  keepGoing?: boolean;
  /** Show the picture while it comes: its context, and its levels as bytes arrive. */
  progressive?: boolean;
  /** A larger picture is refused; 2**26 by default, which a browser can hold. */
  maxPixels?: number;
}

/** Refuse options that are none, whatever the file. */
export function checkOptions({ levels, region, scale, maxPixels }: DecodeOptions): void {
  const isCount = (value: unknown) => Number.isInteger(value) && (value as number) >= 0;
  const refuse = (message: string) => {
    throw new HvaeError("ArgumentError", message);
  };
  if (!isCount(levels ?? 0)) refuse(`${levels} levels of latents cannot be decoded`);
  if (![1, 8].includes(scale ?? 1)) refuse(`scale ${scale} is neither 1 nor 8`);
  if (!isCount(maxPixels ?? 0) && maxPixels !== Infinity) {
    refuse(`a limit of ${maxPixels} pixels is none`);
  }
  const isRegion = Array.isArray(region) && region.length === 4 && region.every(Number.isInteger);
  if (region && !isRegion) refuse(`region ${region} is not x, y, width and height`);
}

/** Return what is shown of a picture, in px; refuses a region that is not within it. */
export function checkedRegion(index: Index, region: DecodeOptions["region"]): Window {
  const { width, height } = index.header;
  const [x, y, w, h] = region ?? [0, 0, width, height];
  if (w < 1 || h < 1 || x < 0 || y < 0 || x + w > width || y + h > height) {
    throw new HvaeError(
      "ArgumentError",
      `region ${x},${y},${w},${h} is not within the ${width}x${height} pixels of the image`,
    );
  }
  return { left: x, top: y, right: x + w, bottom: y + h };
}

/** A rectangle of the picture, RGBA. */
export interface Area {
  /** Place and size in px of the picture at 1/scale. */
  x: number;
  y: number;
  width: number;
  height: number;
  scale: 1 | 8;
  /** Levels that it is of, the context included. */
  levels: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
}

export interface Shows {
  /** What the file says of itself, before its first pixel. */
  index(index: Index): void;
  area(area: Area): void;
}

/** What is left to tell when all is shown. */
export interface Outcome {
  /** Levels of latents that are intact in every tile, of those asked for. */
  wholeLevels: number;
  /** Numbers of the tiles of which something is damaged or missing. */
  lostTiles: number[];
}

export interface Machine {
  codecOf(hash: string): Promise<Codec>;
  /** Fetch what decodes WebP. */
  openWebp(): Promise<DecodeWebp>;
  /** Fetch what decodes JPEG 2000. */
  openJpeg2000(): Promise<DecodeJpeg2000>;
  /** Let messages in, between two pieces of work; throws where the work is not wanted any more. */
  breathe(): Promise<void>;
}
