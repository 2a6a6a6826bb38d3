// Crops of a picture, as in fer_lib.live.boxes. A crop is a square of side times side pixels, RGB, one after the
// other; a picture is an ImageData.

/** As Python rounds: a half to the even number beside it. A square moved by one pixel may hold another face. */
export function rounded(value) {
  const nearest = Math.round(value);
  return nearest - value === 0.5 && nearest % 2 ? nearest - 1 : nearest;
}

/** A square part of a picture; what lies beyond the picture's edge is black. */
export function part({ data, width, height }, [left, top, length], side) {
  const w = Math.min(width - left, length), h = Math.min(height - top, length);
  const across = spans(left, w, Math.max(1, rounded((side * w) / length)), width);
  const down = spans(top, h, Math.max(1, rounded((side * h) / length)), height);
  const line = new Float32Array(3 * side), made = new Uint8ClampedArray(3 * side * side), rows = new Map();
  const row = (y) => { // reduced to the crop's width; two rows of the crop may need it
    if (!rows.has(y)) rows.set(y, narrowed(data, 4 * y * width, across, new Float32Array(3 * side)));
    return rows.get(y);
  };
  down.forEach(({ first, weights }, y) => {
    line.fill(1e-4); // so that halves are rounded up, as OpenCV rounds them
    weights.forEach((weight, k) => {
      const from = row(first + k);
      for (let at = 0; at < 3 * across.length; at++) line[at] += weight * from[at];
    });
    made.set(line, 3 * side * y);
    for (const old of rows.keys()) if (old < first + weights.length - 1) rows.delete(old);
  });
  return made;
}

function narrowed(data, start, across, row) {
  for (let x = 0, at = 0; x < across.length; x++) {
    const { first, weights } = across[x];
    let red = 0, green = 0, blue = 0;
    for (let k = 0, from = start + 4 * first; k < weights.length; k++, from += 4) {
      red += weights[k] * data[from];
      green += weights[k] * data[from + 1];
      blue += weights[k] * data[from + 2];
    }
    row[at++] = red;
    row[at++] = green;
    row[at++] = blue;
  }
  return row;
}

/** For each of n new pixels, the first old one of start .. start + length that it takes from, and how much of each. */
function spans(start, length, n, end) {
  const step = length / n;
  return Array.from({ length: n }, (_, k) => {
    if (step < 1) { // larger: between the two nearest
      const middle = Math.min(end - 1, Math.max(0, start + (k + 0.5) * step - 0.5)), first = Math.floor(middle);
      return { first, weights: first + 1 < end ? [first + 1 - middle, middle - first] : [1] };
    }
    const from = start + k * step, to = from + step, first = Math.floor(from), weights = [];
    for (let u = first; u < to - 1e-9; u++) weights.push((Math.min(to, u + 1) - Math.max(from, u)) / step);
    return { first, weights };
  });
}

/** A square around (x, y), turned clockwise by `turn` in radians, put upright. Made smaller by the mean of what a pixel
 * covers, larger by cubic interpolation; beyond the picture's edge its last pixels go on. */
export function turned(image, { x: left, y: top }, length, turn, side) {
  length = Math.max(1, length);
  const times = Math.min(8, Math.ceil(length / side)); // the mean of this many places each way is taken
  const step = length / (side * times), c = step * Math.cos(turn), s = step * Math.sin(turn);
  const made = new Uint8ClampedArray(3 * side * side), level = new Float64Array(3), middle = (side * times - 1) / 2;
  const look = length > side ? mean : cubic;
  for (let y = 0, at = 0; y < side; y++) {
    for (let x = 0; x < side; x++, at += 3) {
      const u = x * times - middle, v = y * times - middle;
      look(image, left + u * c - v * s - 0.5, top + u * s + v * c - 0.5, level, times, c, s);
      made[at] = level[0];
      made[at + 1] = level[1];
      made[at + 2] = level[2];
    }
  }
  return made;
}

function within(value, end) {
  return value < 0 ? 0 : value < end ? value : end - 1;
}

/** The mean of times x times places from (x, y) on, with steps of (c, s) and (-s, c); each lies between four pixels. */
function mean({ data, width, height }, x, y, level, times, c, s) {
  let red = 0, green = 0, blue = 0;
  for (let j = 0; j < times; j++) {
    for (let i = 0; i < times; i++) {
      const toX = x + i * c - j * s, toY = y + i * s + j * c;
      const u = Math.floor(toX) | 0, v = Math.floor(toY) | 0; // as integers, which are fast to index with
      const above = Math.imul(width, within(v, height)), below = Math.imul(width, within(v + 1, height));
      const before = within(u, width), after = within(u + 1, width), p = toX - u, q = toY - v;
      const a = 4 * (above + before), b = 4 * (above + after), d = 4 * (below + before), e = 4 * (below + after);
      const A = (1 - p) * (1 - q), B = p * (1 - q), D = (1 - p) * q, E = p * q;
      red += A * data[a] + B * data[b] + D * data[d] + E * data[e];
      green += A * data[a + 1] + B * data[b + 1] + D * data[d + 1] + E * data[e + 1];
      blue += A * data[a + 2] + B * data[b + 2] + D * data[d + 2] + E * data[e + 2];
    }
  }
  level[0] = red / (times * times);
  level[1] = green / (times * times);
  level[2] = blue / (times * times);
}

function cubic({ data, width, height }, x, y, level) {
  const u = Math.floor(x), v = Math.floor(y), across = weights(x - u), down = weights(y - v);
  level.fill(0);
  for (let j = 0; j < 4; j++) {
    const row = width * within(v + j - 1, height);
    for (let i = 0; i < 4; i++) {
      const weight = across[i] * down[j], at = 4 * (row + within(u + i - 1, width));
      for (let k = 0; k < 3; k++) level[k] += weight * data[at + k];
    }
  }
}

/** Weights of the four pixels around a place that lies by p after the second: OpenCV's. */
function weights(p) {
  const a = -0.75, far = (d) => ((d - 5) * d + 8) * d * a - 4 * a, near = (d) => ((a + 2) * d - (a + 3)) * d * d + 1;
  return [far(1 + p), near(p), near(1 - p), far(2 - p)];
}

/** A cut's grey levels, Uint8ClampedArray. */
export function grey(cut) {
  const made = new Uint8ClampedArray(cut.length / 3);
  for (let k = 0, at = 0; k < made.length; k++, at += 3) {
    made[k] = 0.299 * cut[at] + 0.587 * cut[at + 1] + 0.114 * cut[at + 2];
  }
  return made;
}

/** Area that two squares around their (x, y) share, as a part of what they cover together; their turn is left aside. */
export function overlap(one, other) {
  const along = (axis) => Math.max(0, Math.min(one[axis] + one.side / 2, other[axis] + other.side / 2) -
    Math.max(one[axis] - one.side / 2, other[axis] - other.side / 2));
  const shared = along("x") * along("y");
  return shared / (one.side ** 2 + other.side ** 2 - shared);
}

/** Whether the grey levels of a crop vary so little that nothing is to be seen, as in `pipeline.FLAT`. */
export function isFlat(crop, least) {
  const mean = crop.reduce((sum, level) => sum + level, 0) / crop.length;
  return crop.reduce((sum, level) => sum + (level - mean) ** 2, 0) / crop.length < least ** 2;
}

/** Faces with what was known of the same ones `seconds` ago averaged in, as in `pipeline.Tracks`: the same are those
 * that share most, and of one that hardly moved the past keeps a least weight. */
export function smoothed(faces, known, seconds, { smoothing, same, still, floor }) {
  return faces.map((face) => {
    const shares = known.map((other) => overlap(face, other)), most = Math.max(0, ...shares);
    if (most < same) return face;
    const before = known[shares.indexOf(most)];
    if (face.flat || before.flat) return face;
    const old = Math.max(Math.exp(-seconds / smoothing), most >= still ? floor : 0);
    return { ...face, probabilities: face.probabilities.map((p, k) => old * before.probabilities[k] + (1 - old) * p) };
  });
}
