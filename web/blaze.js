// Face detection with BlazeFace, upright or tilted, as in fer_lib/live/blaze.py; build.py passes its constants.
import { overlap, part, rounded, turned } from "./faces.js";

/** A network: a cut in, faces out, with their log-odds, and middle, side and turn in the cut's pixels. */
export function network(ort, session, { side, layers }, { SHARED }) {
  const cells = layers.flatMap(([step, boxes]) => Array.from({ length: boxes * (side / step) ** 2 }, (_, k) => {
    const cell = Math.floor(k / boxes), row = side / step;
    return [((cell % row) + 0.5) * step, (Math.floor(cell / row) + 0.5) * step];
  }));
  const run = async (cut, least) => {
    const pixels = new Float32Array(cut.length);
    for (let k = 0; k < cut.length; k++) pixels[k] = cut[k] * (2 / 255) - 1;
    const input = new ort.Tensor("float32", pixels, [1, side, side, 3]);
    const { regressors: { data: values }, classificators: { data: scores } } = await session.run({ input });
    const found = [], lowest = logOdds(least);
    cells.forEach(([x, y], k) => {
      if (scores[k] < lowest) return;
      const [dx, dy, size, , leftX, leftY, rightX, rightY] = values.subarray(16 * k, 16 * k + 8);
      const turn = Math.atan2(rightY - leftY, rightX - leftX);
      found.push({ x: x + dx, y: y + dy, side: size, turn, score: scores[k] });
    });
    return eachOnce(found, ({ score }) => score, SHARED);
  };
  return { side, run };
}

const logOdds = (probability) => Math.log(probability / (1 - probability));

/** Of several that lie on one another, the one worth most; in their order. */
function eachOnce(faces, worth, shared, box = (face) => face) {
  const kept = [];
  for (const face of [...faces].sort((one, other) => worth(other) - worth(one))) {
    if (kept.every((other) => overlap(box(face), box(other)) <= shared)) kept.push(face);
  }
  return faces.filter((face) => kept.includes(face));
}

/** A detector of the two networks: an ImageData in, squares out, from left to right: middle (x, y), side, and turn in
 * radians, as FER2013 shows faces.
 *
 * moving: whether frames follow one another. Then all is searched in the first, and a part in every few; a face that is
 * known is looked at near in each, where it was, and one that is lost is searched for at once.
 */
export function detector({ search, near }, constants, moving) {
  const { SIDE, UP, ROOM, SIGN, LEAST, CENTRAL, SURE, EVERY, ONE, MARGIN } = constants;
  let known = [], frame = 0, size = "";

  async function found(image, square) {
    const [left, top, length] = square, scale = length / search.side;
    const faces = await search.run(part(image, square, search.side), SIGN);
    return faces.map(({ x, y, side, turn, score }) => (
      { x: left + scale * x, y: top + scale * y, side: scale * side, turn, square, searched: score, near: 0 }));
  }

  /** A face as the near network has it in a cut around where it was, turned until it is upright. */
  async function seen(image, face) {
    const length = ROOM * face.side, scale = length / near.side, half = near.side / 2;
    const faces = await near.run(turned(image, face, length, face.turn, near.side), LEAST);
    const central = faces.filter(({ x, y }) => Math.max(Math.abs(x - half), Math.abs(y - half)) < CENTRAL * near.side);
    if (!central.length) return { ...face, near: -Infinity };
    const best = central.reduce((one, other) => (other.score > one.score ? other : one));
    const c = scale * Math.cos(face.turn), s = scale * Math.sin(face.turn), u = best.x - half, v = best.y - half;
    const x = face.x + u * c - v * s, y = face.y + u * s + v * c, turn = best.turn + face.turn;
    const within = Math.atan2(Math.sin(turn), Math.cos(turn)); // half a turn
    return { ...face, x, y, side: scale * best.side, turn: within, near: best.score };
  }

  function box({ x, y, side, turn }) {
    return { x: x + UP * side * Math.sin(turn), y: y - UP * side * Math.cos(turn), side: (SIDE * side) / MARGIN, turn };
  }

  function wanted(squares, lost) {
    const inside = (value, start, side) => value >= start && value < start + side;
    const holds = ([left, top, side]) => lost.some(({ x, y }) => inside(x, left, side) && inside(y, top, side));
    if (lost.length) return squares.filter((square, k) => k === 0 || holds(square));
    if (frame % EVERY) return [];
    const k = frame / EVERY, others = squares.length - 1;
    return [squares[k % 2 || !others ? 0 : 1 + ((k / 2) % others)]];
  }

  return async (image) => {
    const squares = parts(image, constants, moving), fresh = !moving || size !== `${image.width} x ${image.height}`;
    const counts = (face) => face.searched + face.near > SURE, lost = [], signs = [];
    if (fresh) known = [];
    for (const face of known.splice(0)) {
      const now = await seen(image, face);
      (counts(now) ? known : lost).push(now);
    }
    const searched = fresh ? squares : wanted(squares, lost), again = [];
    for (const square of searched) signs.push(...(await found(image, square)));
    for (const sign of eachOnce(signs, (face) => face.searched, ONE, box)) {
      const before = known.find((face) => overlap(box(face), box(sign)) >= ONE);
      if (before) {
        Object.assign(before, { searched: sign.searched, square: sign.square });
        again.push(before);
      } else {
        const face = await seen(image, sign);
        again.push(face);
        if (counts(face)) known.push(face);
      }
    }
    for (const face of known) { // a face that the search no longer finds falls below SIGN
      if (searched.some((square) => `${square}` === `${face.square}`) && !again.includes(face)) {
        face.searched = Math.min(face.searched, logOdds(SIGN));
      }
    }
    known = known.filter((face) => counts(face) || again.includes(face));
    known = eachOnce(known, (face) => face.searched + face.near, ONE, box);
    size = `${image.width} x ${image.height}`;
    frame += 1;
    return known.map(box).sort((one, other) => one.x - one.side / 2 - other.x + other.side / 2);
  };
}

/** The squares of a picture that are searched, [left, top, side]: the whole, and smaller ones for small faces. */
function parts({ width, height }, { TILE, STILL_TILE, LARGE }, moving) {
  const longer = Math.max(width, height), squares = [[0, 0, longer]];
  for (const share of moving || longer < LARGE ? [TILE] : [TILE, STILL_TILE]) {
    const side = Math.max(1, rounded(share * longer));
    for (const top of starts(height, side)) for (const left of starts(width, side)) squares.push([left, top, side]);
  }
  return squares;
}

function starts(length, side) {
  const steps = length <= side ? 0 : Math.ceil((length - side) / (0.8 * side)); // overlapping by a fifth or more
  return Array.from({ length: steps + 1 }, (_, k) => rounded(steps && (k * (length - side)) / steps));
}
