/** Draws a picture on a canvas while it comes, turned as its EXIF asks. */

import { bitmapOf, hasOtherColours } from "./bitmaps.ts";
import { type Area, type Index, orientationOf } from "./decode.ts";

/** How an orientation draws: whether sides change places, and which axes are mirrored then. */
const TURNS: Record<number, [boolean, boolean, boolean]> = {
  1: [false, false, false],
  2: [false, true, false],
  3: [false, true, true],
  4: [false, false, true],
  5: [true, false, false],
  6: [true, true, false],
  7: [true, true, true],
  8: [true, false, true],
};

export class Painter {
  private context!: CanvasRenderingContext2D;
  private index!: Index;
  /** Areas are drawn in their order, though their bitmaps may be ready in another one. */
  private drawing: Promise<unknown> = Promise.resolve();
  private pictures = 0;
  private origin = [0, 0];

  constructor(readonly canvas: HTMLCanvasElement) {}

  /** Make room for a picture, of which a region (x, y, width, height) may be all that comes. */
  begin(index: Index, region?: readonly [number, number, number, number]): void {
    this.drawing = Promise.resolve();
    this.pictures++;
    this.index = index;
    // a canvas keeps the colours of its first picture
    const colorSpace = hasOtherColours(index) ? "display-p3" : "srgb";
    this.context = this.canvas.getContext("2d", { colorSpace })!;
    const { width, height } = index.header;
    const [swaps, mirrorsX, mirrorsY] = TURNS[orientationOf(index.metadata.exif)];
    this.canvas.width = swaps ? height : width;
    this.canvas.height = swaps ? width : height;
    if (this.context.isContextLost?.()) {
      const size = `${this.canvas.width}x${this.canvas.height}`;
      throw new Error(`no canvas of this browser holds ${size} pixels`);
    }
    this.context.imageSmoothingQuality = "high";
    // of the picture as it is stored to the canvas
    const [x, y] = [mirrorsX ? -1 : 1, mirrorsY ? -1 : 1];
    const [toX, toY] = [mirrorsX ? this.canvas.width : 0, mirrorsY ? this.canvas.height : 0];
    this.context.setTransform(swaps ? 0 : x, swaps ? y : 0, swaps ? x : 0, swaps ? 0 : y, toX, toY);
    this.origin = region ? [region[0], region[1]] : [0, 0];
    if (!region) return;
    this.context.beginPath();
    this.context.rect(...region);
    this.context.clip();
  }

  /** Draw an area; areas appear in the order of their calls, and none of a picture before. */
  draw({ rgba, scale, ...area }: Area): Promise<void> {
    const picture = this.pictures;
    const bitmap = bitmapOf({ rgba, width: area.width, height: area.height }, this.index);
    // areas begin at a whole pixel of their scale
    const [left, top] = this.origin.map((px) => Math.floor(px / scale));
    const [x, y, width, height] = [area.x + left, area.y + top, area.width, area.height].map(
      (px) => px * scale,
    );
    const drawn = Promise.all([bitmap, this.drawing]).then(([image]) => {
      if (picture === this.pictures) {
        this.context.clearRect(x, y, width, height);
        this.context.drawImage(image, x, y, width, height);
      }
      image.close();
    });
    drawn.catch(() => undefined); // who waits for the last one gets it
    this.drawing = drawn;
    return drawn;
  }
}
