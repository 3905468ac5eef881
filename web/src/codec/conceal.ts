/** Smooth values for what is lost, from around it (codec/tiles/fill.py: fill_hidden). */

interface Plane {
  height: number;
  width: number;
  values: Float32Array;
  /** How much of each value is known. */
  weight: Float32Array;
}

/**
 * Fill a plane where `isKnown` is 0, in place.
 *
 * The plane is halved until nothing of it is unknown. Each unknown value comes from the finest of
 * these planes that has one; it is zero where nothing is known at all.
 */
export function fillUnknown(
  values: Float32Array,
  isKnown: Uint8Array,
  height: number,
  width: number,
): void {
  const weight = Float32Array.from(isKnown);
  values.set(filled({ height, width, values, weight }));
}

function filled(plane: Plane): Float32Array {
  const { values, weight } = plane;
  if (weight.every((known) => known > 0)) return values;
  if (weight.every((known) => known === 0)) return new Float32Array(values.length);
  const coarse = halved(plane);
  const smooth = stretched(filled(coarse), coarse.height, coarse.width, plane.height, plane.width);
  return values.map((value, i) => (weight[i] > 0 ? value : smooth[i]));
}

/** Average 2x2 values of those that are known; the last row or column of an odd size repeats. */
function halved({ height, width, values, weight }: Plane): Plane {
  const [h, w] = [Math.ceil(height / 2), Math.ceil(width / 2)];
  const half: Plane = {
    height: h,
    width: w,
    values: new Float32Array(h * w),
    weight: new Float32Array(h * w),
  };
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      let [sum, known] = [0, 0];
      for (const row of [2 * y, Math.min(2 * y + 1, height - 1)]) {
        for (const column of [2 * x, Math.min(2 * x + 1, width - 1)]) {
          const at = row * width + column;
          const is = Number(weight[at] > 0);
          known += is / 4;
          sum += (is * values[at]) / 4;
        }
      }
      half.weight[y * w + x] = known;
      half.values[y * w + x] = known ? sum / known : 0;
    }
  }
  return half;
}

/** Interpolate linearly to a larger size; the outer edges of the pixels coincide. */
function stretched(
  values: Float32Array,
  height: number,
  width: number,
  toHeight: number,
  toWidth: number,
): Float32Array {
  const places = (size: number, to: number) =>
    Array.from({ length: to }, (_, i) => {
      const place = Math.min(Math.max(((i + 0.5) * size) / to - 0.5, 0), size - 1);
      const before = Math.floor(place);
      return [before, Math.min(before + 1, size - 1), place - before] as const;
    });
  const columns = places(width, toWidth);
  return Float32Array.from(
    places(height, toHeight).flatMap(([top, bottom, down]) =>
      columns.map(([left, right, across]) => {
        const line = (row: number) =>
          values[row * width + left] * (1 - across) + values[row * width + right] * across;
        return line(top) * (1 - down) + line(bottom) * down;
      }),
    ),
  );
}
