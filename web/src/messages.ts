/** What the page and its worker tell each other. */

import type { Index } from "./bitstream/container.ts";
import type { Area, DecodeOptions, Outcome } from "./codec/options.ts";

export type Order =
  /** Folders that hold the runtime and the weights, with a slash behind them. */
  | { do: "start"; runtime: string; weights: string }
  | { do: "decode"; id: number; options: DecodeOptions }
  | { do: "bytes"; id: number; bytes: Uint8Array }
  | { do: "end"; id: number }
  | { do: "fail"; id: number; error: unknown };

export type Answer =
  | { id: number; is: "index"; index: Index }
  | { id: number; is: "area"; area: Area; ms: number }
  | { id: number; is: "done"; outcome: Outcome; ms: number }
  | { id: number; is: "error"; name: string; message: string };
