// Who computes what a reader sees, in words: this page, the server that gave it, or nobody any more.

// A point of the scatter, a step of a slider or a path.
export function decodingWords({ kind, plane } = {}) {
  if (kind === "page") return "this page computes every point itself";
  if (kind === "server") return "the server that gave this page computes every point";
  return `${plane ? "a grid over two units and lines along single units were" : "lines along single units were"} computed when this page was made`;
}

// What a reader should know of pictures made beforehand; empty where every point is computed.
export function storedWords({ kind, why, plane } = {}) {
  if (kind !== "precomputed") return "";
  const where = plane ? `for units ${plane.units.join(" and ")} together, and for other units one at a time` : "for one unit at a time";
  return `${why} So a point shows the nearest of those computed when the page was made: ${where}. The command latens explore RUN, on a machine with latens, computes every point.`;
}

export const missingWords =
  "What the model makes of this row was not computed when the page was made: there was no room for all rows. The command latens explore RUN has all of them.";
