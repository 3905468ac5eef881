/** What the page tells of a file: its facts, the bytes of levels and tiles, its metadata. */

import { dpiOf, type Index, orientationOf, profileNameOf, textsOf } from "../decode.ts";
import { element, fill, spaced } from "./dom.ts";

export function describe(index: Index, fileBytes: number): void {
  const { header, tiles, levels } = index;
  const pixels = header.width * header.height;
  const colour = (header.isGrey ? "grey" : "RGB") + (header.hasAlpha ? " with alpha" : "");
  fill(element("facts"), [
    ["size", `${spaced(header.width)} × ${spaced(header.height)} px`],
    ["colour", `${colour}, ${header.bitDepth} bits${header.bitDepth === 16 ? " (8 shown)" : ""}`],
    ["quality", quality(index)],
    [
      "bytes",
      `${spaced(fileBytes)} of ${spaced(index.end)}, ${((index.end * 8) / pixels).toFixed(3)} bits a pixel`,
    ],
    ["tiles", `${tiles.length} of ${32 * header.tileSide} px`],
    ["weights", header.needsWeights ? header.weights : "none needed"],
  ]);
  const of = (level: number) =>
    tiles.reduce((sum, tile) => sum + tile.levels[level].end - tile.levels[level].begin, 0);
  const alpha = tiles.reduce((sum, tile) => sum + tile.alpha.end - tile.alpha.begin, 0);
  const exact = tiles.reduce((sum, tile) => sum + tile.exact.end - tile.exact.begin, 0);
  const costs: [string, number][] = [
    ["header", index.begin],
    ...(alpha ? [["alpha", alpha] as [string, number]] : []),
    ...(exact ? [["exact", exact] as [string, number]] : []),
    ...Array.from({ length: header.needsWeights ? levels : 0 }, (_, k): [string, number] => [
      k ? `level ${k}` : "context",
      of(k),
    ]),
  ];
  const most = Math.max(...costs.map(([, bytes]) => bytes));
  element("costs").replaceChildren(
    ...costs.map(([name, bytes]) => {
      const row = document.createElement("tr");
      const bar = document.createElement("i");
      bar.style.width = `${(100 * bytes) / most}%`;
      for (const content of [name, spaced(bytes), bar]) {
        row.insertCell().append(content);
      }
      return row;
    }),
  );
  describeTiles(index);
  describeMetadata(index);
}

function quality({ header, map }: Index): string {
  if (!header.needsWeights) return "exact";
  const part = header.hasExact ? ", some patches exact" : "";
  if (!map) return `${header.quality}${part}`;
  const least = map.reduce((a, b) => Math.min(a, b));
  const most = map.reduce((a, b) => Math.max(a, b));
  return `${header.quality + least}...${header.quality + most}, by patch${part}`;
}

function describeTiles({ header, tiles }: Index): void {
  const bytes = tiles.map(({ levels, alpha, exact }) =>
    [...levels, alpha, exact].reduce((sum, { begin, end }) => sum + end - begin, 0),
  );
  const most = Math.max(...bytes);
  const grid = element("tiles");
  const columns = header.grid[1];
  grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
  grid.replaceChildren(
    ...bytes.map((size, number) => {
      const cell = document.createElement("span");
      cell.style.setProperty("--share", `${Math.round((70 * size) / most)}%`);
      cell.title = `tile ${number}: ${spaced(size)} bytes`;
      if (columns <= 6) cell.textContent = spaced(size);
      return cell;
    }),
  );
}

function describeMetadata({ metadata }: Index): void {
  const { icc, exif, xmp } = metadata;
  const facts: [string, string][] = [];
  if (icc) {
    const name = profileNameOf(icc).slice(0, 40);
    facts.push(["ICC", `${name && `${name}, `}${spaced(icc.length)} bytes; shown as sRGB`]);
  }
  if (exif)
    facts.push(["EXIF", `${spaced(exif.length)} bytes, orientation ${orientationOf(exif)}`]);
  if (xmp) facts.push(["XMP", new TextDecoder().decode(xmp).slice(0, 2000)]);
  facts.push(
    ...textsOf(metadata).map(([key, text]): [string, string] => [key, text.slice(0, 2000)]),
  );
  const dpi = dpiOf(metadata);
  if (dpi) facts.push(["resolution", `${dpi.map((each) => each.toFixed(1)).join(" × ")} dpi`]);
  fill(element("metadata"), facts.length ? facts : [["none", ""]]);
}
