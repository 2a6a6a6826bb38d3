// Faces in a grey picture by a Haar cascade (Viola and Jones 2001), evaluated as OpenCV 4 does, whose cascade it is.
// build.py makes cascade.json of OpenCV's XML.

/** A detector of a cascade as build.py writes it: (grey Uint8Array, width, height) -> [{x, y, side, votes}]. */
export function detector(cascade, { factor = 1.2, neighbours = 3, smallest = 20 } = {}) {
  const { side: window, features, stages } = cascade;
  const program = flat(stages), thresholds = Float64Array.from(stages, (stage) => stage.threshold - 1e-5);
  const rectangles = { last: Int32Array.from(features, (of, k) => 3 * k + of.length), weight: new Float64Array(3 * features.length) };
  features.forEach((of, k) => of.forEach((rectangle, r) => { rectangles.weight[3 * k + r] = rectangle[4]; }));
  return (grey, width, height) => {
    const found = [];
    for (let scale = Math.max(1, smallest / window); ; scale *= factor) {
      const w = Math.round(width / scale), h = Math.round(height / scale);
      if (w < window || h < window) break;
      scan(scale === 1 ? grey : shrink(grey, width, height, w, h), w, h, scale, found);
    }
    return grouped(found, neighbours);
  };

  function scan(grey, w, h, scale, found) {
    const row = w + 1, [sum, squares] = integrals(grey, w, h);
    const corners = place(row);
    const step = scale > 2 ? 1 : 2, inner = window - 2, area = inner * inner;
    const a = row + 1, b = a + inner, c = a + inner * row, d = c + inner;
    for (let y = 0; y <= h - window; y += step) {
      for (let x = 0; x <= w - window; x += step) {
        const at = y * row + x;
        const total = sum[at + a] - sum[at + b] - sum[at + c] + sum[at + d];
        const square = squares[at + a] - squares[at + b] - squares[at + c] + squares[at + d];
        const spread = Math.sqrt(Math.max(0, area * square - total * total));
        if (spread < 10 * area) continue; // flat: no face has so little contrast
        if (passes(sum, at, corners, spread)) found.push({ x: x * scale, y: y * scale, side: window * scale });
      }
    }
  }

  /** The features' corners as places in an integral image whose rows are so long, three rectangles of four each. */
  function place(row) {
    const corners = new Int32Array(12 * features.length);
    features.forEach((of, k) => of.forEach(([x, y, w, h], r) => corners.set(
      [y * row + x, y * row + x + w, (y + h) * row + x, (y + h) * row + x + w], 12 * k + 4 * r)));
    return corners;
  }

  function passes(sum, at, corners, spread) {
    for (let stage = 0, tree = 0; stage < stages.length; stage++) {
      let score = 0;
      for (const end = program.ends[stage]; tree < end; tree++) {
        const first = program.nodes[tree];
        let node = 0;
        do { // 0 or less is a leaf
          const k = first + node, feature = program.feature[k], last = rectangles.last[feature];
          let value = 0;
          for (let r = 3 * feature; r < last; r++) {
            const c = 4 * r;
            value += rectangles.weight[r] *
              (sum[at + corners[c]] - sum[at + corners[c + 1]] - sum[at + corners[c + 2]] + sum[at + corners[c + 3]]);
          }
          node = value < program.threshold[k] * spread ? program.left[k] : program.right[k];
        } while (node > 0);
        score += program.leaf[program.leaves[tree] - node];
      }
      if (score < thresholds[stage]) return false;
    }
    return true;
  }
}

/** The trees of all stages one after another in flat arrays, which engines run several times as fast. */
function flat(stages) {
  const trees = stages.flatMap((stage) => stage.trees);
  const counted = (count) => { let total = 0; return Int32Array.from(trees, (tree) => (total += count(tree)) - count(tree)); };
  const column = (k, type) => type.from(trees.flatMap(({ nodes }) => nodes.filter((_, place) => place % 4 === k)));
  let end = 0;
  return {
    ends: Int32Array.from(stages, (stage) => (end += stage.trees.length)), // the tree after each stage's last
    nodes: counted((tree) => tree.nodes.length / 4), // the first node of each tree
    leaves: counted((tree) => tree.leaves.length), // the first leaf of each tree
    left: column(0, Int32Array), right: column(1, Int32Array), feature: column(2, Int32Array),
    threshold: column(3, Float64Array), leaf: Float64Array.from(trees.flatMap((tree) => tree.leaves)),
  };
}

/** Sums of all that is above and left of each pixel, of the values and of their squares; a row and a column of 0 first. */
function integrals(grey, w, h) {
  const row = w + 1, sum = new Int32Array(row * (h + 1)), squares = new Float64Array(row * (h + 1));
  for (let y = 0; y < h; y++) {
    let line = 0, lineOfSquares = 0;
    for (let x = 0; x < w; x++) {
      const value = grey[y * w + x], at = (y + 1) * row + x + 1;
      sum[at] = sum[at - row] + (line += value);
      squares[at] = squares[at - row] + (lineOfSquares += value * value);
    }
  }
  return [sum, squares];
}

/** A picture between its pixels, as OpenCV's detector makes it smaller. */
function shrink(grey, width, height, w, h) {
  const smaller = new Uint8Array(w * h);
  for (let y = 0; y < h; y++) {
    const v = Math.min(height - 1, Math.max(0, ((y + 0.5) * height) / h - 0.5)), top = Math.floor(v);
    const below = Math.min(height - 1, top + 1) * width, above = top * width;
    for (let x = 0; x < w; x++) {
      const u = Math.min(width - 1, Math.max(0, ((x + 0.5) * width) / w - 0.5)), left = Math.floor(u);
      const right = Math.min(width - 1, left + 1), p = u - left, q = v - top;
      smaller[y * w + x] = Math.round(
        (1 - q) * ((1 - p) * grey[above + left] + p * grey[above + right]) +
        q * ((1 - p) * grey[below + left] + p * grey[below + right]),
      );
    }
  }
  return smaller;
}

/** Windows that lie on one another count as one face, where they are more than `neighbours`. */
function grouped(found, neighbours) {
  const groups = [];
  for (const one of found) {
    const near = groups.filter((group) => group.some((other) => {
      const slack = 0.2 * Math.min(one.side, other.side);
      return [one.x - other.x, one.y - other.y, one.x + one.side - other.x - other.side,
        one.y + one.side - other.y - other.side].every((gap) => Math.abs(gap) <= slack);
    }));
    groups.push([one, ...near.flat()]);
    for (const group of near) groups.splice(groups.indexOf(group), 1);
  }
  const mean = (group, key) => group.reduce((total, one) => total + one[key], 0) / group.length;
  const faces = groups.filter((group) => group.length > neighbours).map((group) => ({
    x: mean(group, "x"), y: mean(group, "y"), side: mean(group, "side"), votes: group.length,
  }));
  // One inside another is the same face seen twice: the one with more votes stays.
  return faces.filter((one) => !faces.some((other) => other !== one && other.votes > one.votes &&
    Math.abs(one.x + one.side / 2 - other.x - other.side / 2) < other.side / 2 &&
    Math.abs(one.y + one.side / 2 - other.y - other.side / 2) < other.side / 2)).sort((a, b) => a.x - b.x);
}
