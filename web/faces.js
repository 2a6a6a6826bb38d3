// From a picture's pixels to the network's input, as fer_lib.live.pipeline makes it.

/** Grey levels, Uint8Array, of an ImageData. */
export function greyOf({ data, width, height }) {
  const grey = new Uint8Array(width * height);
  for (let k = 0, at = 0; k < grey.length; k++, at += 4) {
    grey[k] = Math.round(0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]);
  }
  return grey;
}

/** A picture made smaller, w times h, each pixel the mean of what it covers; from (left, top) on, width times height. */
export function covered(grey, rowLength, rows, left, top, width, height, w, h) {
  const made = new Uint8Array(w * h);
  const across = spans(left, width, w), down = spans(top, height, h);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      let total = 0, weights = 0;
      for (const [v, q] of down[y]) {
        const line = Math.min(rows - 1, Math.max(0, v)) * rowLength; // beyond the edge its last pixels go on
        for (const [u, p] of across[x]) {
          total += p * q * grey[line + Math.min(rowLength - 1, Math.max(0, u))];
          weights += p * q;
        }
      }
      made[y * w + x] = Math.round(total / weights);
    }
  }
  return made;
}

/** For each of n new pixels, the old ones of start .. start + length that it takes from, and how much of each. */
function spans(start, length, n) {
  const step = length / n;
  return Array.from({ length: n }, (_, k) => {
    if (step < 1) { // larger: between the two nearest
      const middle = start + (k + 0.5) * step - 0.5, first = Math.floor(middle);
      return [[first, 1 - (middle - first)], [first + 1, middle - first]];
    }
    const from = start + k * step, to = from + step, taken = [];
    for (let u = Math.floor(from); u < to - 1e-9; u++) taken.push([u, Math.min(to, u + 1) - Math.max(from, u)]);
    return taken;
  });
}

/** The square with a margin around a box, cut out as side times side. */
export function cutOut(grey, width, height, box, margin, side) {
  const length = Math.max(1, Math.round(margin * box.side));
  const left = Math.round(box.x + (box.side - length) / 2), top = Math.round(box.y + (box.side - length) / 2);
  return covered(grey, width, height, left, top, length, length, side, side);
}
