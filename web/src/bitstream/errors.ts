/** What can be wrong with a file or an argument: one error for each cause, named as in Python. */

export const ERROR_NAMES = [
  "ArgumentError",
  "NotOurFile",
  "UnsupportedVersion",
  "NeedsNewerViewer",
  "Truncated",
  "TrailingData",
  "HeaderDamaged",
  "MetadataDamaged",
  "MapDamaged",
  "IndexDamaged",
  "InvalidField",
  "StreamDamaged",
  "ImageTooLarge",
  "TileDamaged",
  "WrongWeights",
  "WeightsError",
  "BoundError",
] as const;

export type ErrorName = (typeof ERROR_NAMES)[number];

/** Anything that a decoder refuses; `name` tells the cause, and the message is one line. */
export class HvaeError extends Error {
  constructor(
    override readonly name: ErrorName,
    message: string,
  ) {
    super(message);
  }
}

export function tileDamaged(
  tile: number,
  reason = "its symbols do not match their checksum",
): HvaeError {
  return new HvaeError("TileDamaged", `tile ${tile} is damaged: ${reason}`);
}
