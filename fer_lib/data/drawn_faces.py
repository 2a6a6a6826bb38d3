"""Drawn faces: a small data set made from FACS action units, for use without FER2013.

An emotion is a set of action units (Ekman & Friesen's Facial Action Coding System; the sets are EMFACS prototypes);
each unit moves a few measures of a face; the face belongs to a random person in a random pose and light. A decision
tree on pixels cannot handle the pose: after 2,800 faces a tree reaches about 38 %, a feed-forward network 52 to 56 %,
and a small CNN at least 15 points more. That shows that the code works. No accuracy on drawn faces says anything about
an accuracy on photographs.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from . import SPLITS, Faces, array_hash
from .emotions import FER2013

UNITS = {
    1: ("inner brow raiser", {"brow_inner": -0.25, "brow_middle": -0.08, "forehead": 0.5}),
    2: ("outer brow raiser", {"brow_outer": -0.18, "brow_middle": -0.12, "forehead": 0.5}),
    4: ("brow lowerer", {"brow_inner": 0.14, "brow_middle": 0.11, "brow_outer": 0.05, "knit": 0.09, "furrow": 1.0}),
    5: ("upper lid raiser", {"lid_upper": 0.09}),
    6: ("cheek raiser", {"lid_lower": -0.055, "lid_upper": -0.02, "cheek": 1.0, "crow": 1.0}),
    7: ("lid tightener", {"lid_lower": -0.035, "lid_upper": -0.03}),
    9: ("nose wrinkler", {"wrinkle": 1.0, "wing": -0.07, "fold": 0.7, "open_upper": 0.05, "mouth": -0.05,
                          "brow_inner": 0.09, "brow_middle": 0.05, "lid_lower": -0.03, "lid_upper": -0.03}),
    10: ("upper lip raiser", {"open_upper": 0.09, "square": 0.3, "wing": -0.03, "fold": 0.8}),
    12: ("lip corner puller", {"corner_out": 0.15, "corner_down": -0.22, "fold": 1.0, "cheek": 0.4}),
    15: ("lip corner depressor", {"corner_down": 0.19, "corner_fold": 1.0}),
    16: ("lower lip depressor", {"open_lower": 0.11, "square": 0.4, "lower_teeth": 1.0}),
    17: ("chin raiser", {"mouth": -0.05, "chin": 1.0, "corner_down": 0.04}),
    20: ("lip stretcher", {"corner_out": 0.17, "corner_down": 0.09, "lip": -0.02, "square": 0.7, "lower_teeth": 1.0}),
    23: ("lip tightener", {"corner_out": -0.07, "lip": -0.06}),
    25: ("lips part", {"open_lower": 0.09, "open_upper": 0.03}),
    26: ("jaw drop", {"open_lower": 0.31, "open_upper": 0.06, "corner_out": -0.09, "square": 0.7, "jaw": 0.15}),
}  # fmt: skip
"""Action unit -> its FACS name and what it adds, at full intensity, to a face's measures.

Lengths are in half head widths and y points down; furrow, fold, cheek and so on are depths of shading from 0 to 1.
"""

PROTOTYPES = {
    "angry": (4, 5, 7, 23), "disgust": (9, 15, 16), "fear": (1, 2, 4, 5, 7, 20, 26), "happy": (6, 12),
    "sad": (1, 4, 15), "surprise": (1, 2, 5, 26), "neutral": (),
}  # fmt: skip
"""Emotion -> the action units of its EMFACS prototype."""

OFTEN = {"angry": (17,), "disgust": (10,), "fear": (25,), "happy": (25, 7), "sad": (17,), "surprise": (25,)}
"""Emotion -> units that accompany its prototype in half of the faces."""

RANGES = {
    # Person: lengths in half head widths, y down from the middle of the head; tones from 0 black to 255 white.
    "head_height": (1.18, 1.36), "jaw_taper": (0.06, 0.34), "skin": (130, 215), "hair": (15, 130),
    "hairline": (0.70, 0.95), "eye_distance": (0.37, 0.45), "eye_height": (-0.15, -0.09), "eye_width": (0.19, 0.25),
    "eye_open": (0.08, 0.12), "iris": (20, 110), "brow_height": (0.27, 0.35), "brow_width": (0.025, 0.06),
    "brow_arch": (0.0, 0.08), "nose_length": (0.36, 0.46), "nose_width": (0.12, 0.19), "mouth_width": (0.28, 0.36),
    "mouth_height": (0.62, 0.72), "lip": (0.06, 0.12), "lip_tone": (0.58, 0.86), "age": (0.3, 1.0),
    "long_hair": (0, 1), "bald": (0, 1), "beard": (0, 1), "moustache": (0, 1), "glasses": (0, 1),
    # Pose: radians, pixels (of 48) in half a head width, pixels.
    "yaw": (-0.3, 0.3), "pitch": (-0.12, 0.12), "roll": (-0.15, 0.15), "scale": (18, 21.5),
    "x": (-2, 2), "y": (-2, 2),
    # Light and camera: the light comes from an angle; contrast and brightness are the picture's spread and mean, and
    # noise is a standard deviation, where white is 1; blur is in pixels.
    "light": (-np.pi, np.pi), "light_strength": (0.0, 0.3), "contrast": (0.18, 0.26), "brightness": (0.24, 0.40),
    "blur": (0.2, 0.75), "noise": (0.005, 0.035),
    "background": (40, 220), "clutter": (0, 255), "clutter_x": (-1.2, 1.2), "clutter_y": (-1.4, 0.4),
    "occlusion": (0, 1), "occlusion_x": (-1, 1), "occlusion_y": (-1, 1), "occlusion_angle": (0, np.pi),
    "occlusion_tone": (0, 255),
}  # fmt: skip
"""What differs between two faces of the same expression -> from where to where, uniformly.

Hair, beard, glasses and the like, from 0 to 1, appear above a threshold above one half: the middle face has none.
"""
_LOW, _HIGH = np.array(list(RANGES.values())).T
_SHIFT = 4  # fractional bits of the coordinates for OpenCV
_SUPERSAMPLING = 4
_T = -np.cos(np.linspace(0, np.pi, 13))  # along a lid or a lip, from corner to corner
_BOW = 1 - _T**2
_RING = np.exp(1j * np.linspace(0, 2 * np.pi, 17))
_HEAD = np.exp(1j * np.linspace(0, 2 * np.pi, 41))


def draw(expression: str | Mapping[int, float], rng: np.random.Generator | None = None, size: int = 48) -> np.ndarray:
    """One face, (size, size) uint8.

    expression: an emotion's name, or action units with intensities from 0 to 1, such as ``{12: 1.0, 6: 0.5}``.
    rng: draws the person, pose, light and, for a named emotion, the units' intensities; None gives the middle person,
        from the front, in nearly even light, without noise, every unit of the prototype in full.
    Raises ValueError for an unknown emotion or unit, an intensity outside 0..1, or a size below 8.
    """
    if size < 8:
        raise ValueError(f"size is {size}; a face needs 8 pixels or more")
    units = _units(expression, rng)
    chances = np.full(len(_LOW), 0.5) if rng is None else rng.random(len(_LOW))
    at = dict(zip(RANGES, (_LOW + (_HIGH - _LOW) * chances).tolist(), strict=True))
    if rng is None:
        at.update(light_strength=0.1, brightness=0.5, blur=0.0, noise=0.0)
    measures = dict.fromkeys((name for _, effects in UNITS.values() for name in effects), 0.0)
    for unit, intensity in units.items():
        for name, effect in UNITS[unit][1].items():
            measures[name] += intensity * effect
    drawing, shading = _face(at, measures)
    return _photograph(drawing, shading, at, rng, size)


def _units(expression, rng) -> dict[int, float]:
    """Unit -> intensity; a named emotion loses a unit at times, and gains one that does not belong at times."""
    if not isinstance(expression, str):
        for unit, intensity in expression.items():
            if unit not in UNITS:
                raise ValueError(f"no action unit {unit!r} is drawn here; expected one of {', '.join(map(str, UNITS))}")
            if not 0 <= intensity <= 1:
                raise ValueError(f"action unit {unit} has intensity {intensity!r}; expected 0 to 1")
        return dict(expression)
    if expression not in PROTOTYPES:
        raise ValueError(f"no emotion is called {expression!r}; expected one of {', '.join(PROTOTYPES)}")
    if rng is None:
        return dict.fromkeys(PROTOTYPES[expression], 1.0)
    chance, strength = rng.random((2, len(UNITS)))
    overall = rng.uniform(0.55, 1.0)
    units = {}
    for k, unit in enumerate(UNITS):
        if unit in PROTOTYPES[expression]:
            if chance[k] > 0.07:
                units[unit] = min(1.0, overall * (0.7 + 0.6 * strength[k]))
        elif unit in OFTEN.get(expression, ()):
            if chance[k] > 0.5:
                units[unit] = overall * strength[k]
        elif chance[k] < 0.04:
            units[unit] = 0.6 * strength[k]
    return units


def _face(at: dict, by: dict) -> tuple[list, list]:
    """The face's shapes, as two lists in the order of painting: hard drawing, and soft shading.

    at: the person, pose and light (see RANGES); by: what the action units add to each measure (see UNITS).
    A shape is (points, tone, width, out): complex points x + iy in half head widths from the middle of the head, a
    grey tone (in shading: 128 leaves a pixel as it is, less darkens), a line's width (0: filled), and how far its
    points stand out when the head turns (0: on the outline, 1: on the face, more: on the nose).
    """
    drawing, shading = [], []

    def paint(points, tone, width=0.0, out=1.0, both=False):
        drawing.append((points, tone, width, out))
        if both:
            drawing.append((-points.conj(), tone, width, out))

    def shade(points, darkness, width=0.0, out=1.0, both=False):
        if abs(darkness) > 0.02:
            shading.append((points, 128 * (1 - darkness), width, out))
            if both:
                shading.append((-points.conj(), 128 * (1 - darkness), width, out))

    _head(paint, shade, at, by)
    _eyes(paint, shade, at, by)
    _brows(paint, shade, at, by)
    _nose(paint, shade, at, by)
    _mouth(paint, shade, at, by)
    if at["glasses"] > 0.87:
        x, y = at["eye_distance"], at["eye_height"]
        paint(x + 0.31 * _RING.real + 1j * (y + 0.03 + 0.25 * _RING.imag), 25, 0.045, 1.1, both=True)
        paint(_line(-0.1 + 1j * y, 0.1 + 1j * y), 25, 0.045, 1.15)
        paint(_line(x + 0.31 + 1j * y, 1 + 1j * y), 25, 0.04, 0.6, both=True)
    return drawing, shading


def _line(*points: complex) -> np.ndarray:
    return np.array(points, complex)


def _between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The area between two lines that both go from left to right."""
    return np.concatenate([one, other[::-1]])


def _head(paint, shade, at, by):
    skin, hair, height = at["skin"], at["hair"], at["head_height"]
    down = np.maximum(_HEAD.imag, 0) ** 2
    head = _HEAD.real * (1 - at["jaw_taper"] * down) + 1j * (height * _HEAD.imag + by["jaw"] * down)
    paint(0.7 * _RING + at["clutter_x"] + 1j * at["clutter_y"], at["clutter"], out=0)
    if at["long_hair"] > 0.6:
        paint(1.17 * _HEAD.real + 1.25j * height * _HEAD.imag, hair, out=0)
    neck = _line(-0.55 + 0.6j, 0.55 + 0.6j, 0.6 + 1.4j, 1.6 + 1.7j, -1.6 + 1.7j, -0.6 + 1.4j)
    paint(neck, 0.72 * skin, out=0)
    paint(1 + 0.13 * _RING.real + 0.24j * _RING.imag, 0.85 * skin, out=0, both=True)
    paint(head, skin, out=0)
    paint(head, 0.6 * skin, 0.03, out=0)
    shade(0.93 * head, 0.12, 0.2, out=0)
    if at["beard"] > 0.87:
        jaw = head[2:19]
        paint(_between(jaw, 0.8 * jaw.real + 1j * (0.75 * jaw.imag - 0.05)), 0.3 * hair + 0.6 * skin, out=0.3)
    if at["bald"] < 0.85:
        top = 1.06 * head[20:]
        hairline = at["hairline"] * 0.95 * height * np.sqrt(np.maximum(1 - top.real**2, 0))
        paint(_between(top, np.clip(top.real, -1, 1) - 1j * hairline), hair, out=0.15)


def _eyes(paint, shade, at, by):
    skin, x, y, width = at["skin"], at["eye_distance"], at["eye_height"], at["eye_width"]
    above = max(at["eye_open"] + by["lid_upper"], 0.015)
    below = max(0.7 * at["eye_open"] + by["lid_lower"], 0.01)
    upper, lower = x + width * _T + 1j * (y - above * _BOW), x + width * _T + 1j * (y + below * _BOW)
    shade(x + 0.33 * _RING.real + 1j * (y - 0.05 + 0.24 * _RING.imag), 0.14, both=True)
    paint(_between(upper, lower), min(255, 0.35 * skin + 165), both=True)
    for radius, tone in ((0.105, at["iris"]), (0.05, 8)):
        bow = 1 - (radius * _RING.real / width) ** 2  # the lids cover what is outside them
        covered = np.clip(radius * _RING.imag - 0.015, -above * bow, below * bow)
        paint(x + radius * _RING.real + 1j * (y + covered), tone, both=True)
    paint(_line(x - 0.035 + 1j * (y - 0.045), x - 0.03 + 1j * (y - 0.045)), 255, 0.03, both=True)
    paint(upper, 0.17 * skin, 0.045, both=True)
    paint(lower, 0.6 * skin, 0.02, both=True)
    shade(upper - 0.075j, 0.35, 0.03, both=True)
    shade(lower + 0.09j, 0.15 + 0.25 * by["crow"], 0.03, both=True)
    for angle in (-0.5, 0.1, 0.7):
        foot = np.exp(1j * angle) * _line(0.04, 0.18)
        shade(x + width + 0.05 + 1j * y + foot, 0.4 * by["crow"], 0.02, both=True)
    cheek = 0.52 + 0.21 * _RING.real + 1j * (0.25 - 0.04 * by["cheek"] + 0.16 * _RING.imag)
    shade(cheek, -0.1 * by["cheek"], both=True)
    shade(0.45 + 0.25 * _T + 1j * (0.1 + 0.07 * _BOW), 0.22 * by["cheek"], 0.03, both=True)


def _brows(paint, shade, at, by):
    base = at["eye_height"] - at["brow_height"]
    inner = base + 0.03 + by["brow_inner"]
    middle = base - at["brow_arch"] + by["brow_middle"]
    outer = base + 0.03 + by["brow_outer"]
    s = 0.5 * (_T + 1)  # from the inner end to the outer; a parabola through the three points
    y = inner * (1 - s) * (1 - 2 * s) + 4 * middle * s * (1 - s) + outer * s * (2 * s - 1)
    brow = at["eye_distance"] - 0.21 - by["knit"] + (0.47 + by["knit"]) * s + 1j * y
    thick = 1j * at["brow_width"] * (1 - 0.75 * s**2)
    paint(_between(brow - thick, brow + thick), min(at["hair"], 0.55 * at["skin"]), both=True)
    shade(_line(0.07 + 0.14j, 0.06 - 0.1j) + 1j * base, 0.55 * by["furrow"], 0.035, both=True)
    for above in (0.16, 0.27):
        shade(0.5 * _T + 1j * (base - above + 0.02 * _BOW), 0.45 * at["age"] * by["forehead"], 0.03)


def _nose(paint, shade, at, by):
    skin, width, top = at["skin"], at["nose_width"], 1j * at["eye_height"]
    tip = top + 1j * at["nose_length"]
    wing = tip + 1j * by["wing"]
    shade(_line(0.05 - 0.1j + top, 0.06 - 0.2j + tip, width - 0.04j + tip), 0.28, 0.05, 1.15)
    shade(_line(-0.02 + top, -0.02 - 0.05j + tip), -0.16, 0.08, 1.2)
    paint(wing + _line(width - 0.09j, width + 0.02 - 0.02j, width - 0.04), 0.6 * skin, 0.03, 1.15, both=True)
    paint(wing + 0.5 * width + 0.045 * _RING.real + 1j * (0.01 + 0.025 * _RING.imag), 0.35 * skin, 0, 1.2, both=True)
    for under in (0.02, 0.1, 0.18):
        shade(top + 1j * under + _line(0.02 + 0.02j, 0.15 - 0.05j), 0.55 * by["wrinkle"], 0.03, 1.1, both=True)


def _mouth(paint, shade, at, by):
    """The lips meet on a line through the corners and open away from it, so that they never cross."""
    skin, dark = at["skin"], 0.28 * at["skin"]
    y = at["mouth_height"] + by["mouth"] - 0.2 * by["jaw"]
    width = at["mouth_width"] + by["corner_out"]
    thick = max(at["lip"] + by["lip"], 0.015)
    line = width * _T + 1j * (y + by["corner_down"] * (_T**2 - 0.35))
    bow = _BOW ** (1 - 0.7 * min(by["square"], 1))
    top, bottom = line - 1j * by["open_upper"] * bow, line + 1j * by["open_lower"] * bow
    upper = top - 1j * thick * (0.8 * _BOW**0.7 - 0.2 * np.exp(-((_T / 0.15) ** 2)))
    lower = bottom + 1.15j * thick * _BOW**0.7
    if at["moustache"] > 0.9:
        edge = 1.25 * width * _T + 1j * (upper.imag.min() + 0.02 + 0.12 * _T**2)
        paint(_between(edge - 0.13j * _BOW**0.6, edge), 0.7 * at["hair"] + 0.2 * skin)
    paint(_between(upper, top), 0.92 * at["lip_tone"] * skin)
    paint(_between(bottom, lower), at["lip_tone"] * skin)
    gap = by["open_upper"] + by["open_lower"]
    if gap > 0.02:
        paint(_between(top, bottom), 0.18 * skin)
        teeth, white = 1j * np.minimum(0.09, 0.6 * gap * _BOW), min(250, 0.3 * skin + 160)
        paint(_between(top, top + teeth), white)
        if by["lower_teeth"] > 0.3:
            paint(_between(bottom - 0.7 * teeth, bottom), 0.9 * white)
        elif by["open_lower"] > 0.18:
            paint(bottom[3:-3] - 0.03j - 0.05j * _BOW[3:-3], 0.42 * skin, 0.08)  # the tongue
    else:
        paint(line, dark, 0.035)
    corner = line[-1]
    paint(corner + _line(-0.02, 0.03), dark, 0.03, both=True)
    shade(corner + _line(0.05, 0.1 + 0.16j), 0.4 * by["corner_fold"], 0.04, both=True)
    wing = at["nose_width"] + 1j * (at["eye_height"] + at["nose_length"] + by["wing"])
    fold = _line(wing + 0.04 - 0.05j, width + 0.06 + 1j * (y - 0.17), width + 0.12 + 1j * (y + 0.02))
    shade(fold, 0.08 * at["age"] + 0.42 * min(by["fold"], 1.2), 0.04, both=True)
    shade(0.6 * lower + 0.4 * lower.mean() + 0.08j, 0.22, 0.06)
    shade(0.16 * _T + 1j * (0.5 * (y + at["head_height"]) + 0.07 - 0.06 * _BOW), 0.45 * by["chin"], 0.06)


def _photograph(drawing: list, shading: list, at: dict, rng: np.random.Generator | None, size: int) -> np.ndarray:
    """Pose the shapes, paint them, then light, expose, blur and noise: (size, size) uint8."""
    pixel = size / 48
    scale, centre = at["scale"] * pixel, (24 + at["x"] + 1j * (22.5 + at["y"])) * pixel
    shapes = drawing + shading
    lengths = [len(points) for points, *_ in shapes]
    points = np.concatenate([points for points, *_ in shapes])
    # The face lies on half an ellipsoid, so that a turned head moves its middle more than its edge.
    out = 0.8 * np.sqrt(np.maximum(1 - points.real**2 - (points.imag / 1.3) ** 2, 0.0))
    out *= np.repeat([out for *_, out in shapes], lengths)
    points = points + out * (np.sin(at["yaw"]) + 1j * np.sin(at["pitch"]))
    points = centre + scale * np.exp(1j * at["roll"]) * points
    fixed = np.round(points * (_SUPERSAMPLING << _SHIFT)).view(float).reshape(-1, 1, 2).astype(np.int32)
    canvas = np.full((_SUPERSAMPLING * size,) * 2, round(at["background"]), np.uint8)
    soft = np.full((size, size), 128, np.uint8)
    start = 0
    for k, ((_, tone, width, _), length) in enumerate(zip(shapes, lengths, strict=True)):
        # The soft layer is not supersampled: the same coordinates are read with two more fractional bits.
        layer, grain, shift = (canvas, _SUPERSAMPLING, _SHIFT) if k < len(drawing) else (soft, 1, _SHIFT + 2)
        piece = fixed[start : start + length]
        start += length
        if width:
            cv2.polylines(layer, [piece], False, tone, max(1, round(width * scale * grain)), cv2.LINE_AA, shift)
        else:
            cv2.fillPoly(layer, [piece], tone, cv2.LINE_AA, shift)
    if at["occlusion"] > 0.95:
        middle = centre + scale * (at["occlusion_x"] + 1j * at["occlusion_y"])
        box = (middle.real, middle.imag), (1.6 * scale, 0.5 * scale), np.degrees(at["occlusion_angle"])
        corners = _SUPERSAMPLING * cv2.boxPoints(box)
        cv2.fillPoly(canvas, [corners.astype(np.int32)], at["occlusion_tone"])
    image = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    image *= cv2.GaussianBlur(soft, (0, 0), 0.55 * pixel)
    across = (np.arange(size, dtype=np.float32) + 0.5) / (24 * pixel) - 1
    light = np.cos(at["light"]) * across + np.sin(at["light"]) * across[:, None]
    image *= 1 + at["light_strength"] * light
    # The camera sets its exposure by the picture's mean and spread.
    mean, spread = cv2.meanStdDev(image)
    image = (image - mean[0, 0]) * (at["contrast"] / (spread[0, 0] + 500)) + at["brightness"]
    if at["blur"]:
        image = cv2.GaussianBlur(image, (0, 0), at["blur"] * pixel)
    if rng is not None:
        image += at["noise"] * rng.standard_normal(image.shape, np.float32)
    return np.clip(255 * image + 0.5, 0, 255).astype(np.uint8)


def load(training: int = 1400, public_test: int = 175, private_test: int = 175, seed: int = 0) -> Faces:
    """Draw the data set: this many faces in each of the three splits, in the order of SPLITS.

    Face i of a split depends only on the seed, the split and i, not on the number of faces. Every seven faces contain
    each emotion once, in random order, so classes are balanced (FER2013's are not). The same versions of NumPy and
    OpenCV give the same bytes; ``sha256`` shows it. seed: 0 or more. Raises ValueError for a negative seed or count, or
    for no faces at all.
    """
    counts = {"training": training, "public_test": public_test, "private_test": private_test}
    for name, value in (counts | {"seed": seed}).items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise ValueError(f"{name} is {value!r}; expected a whole number, 0 or more")
    if not sum(counts.values()):
        raise ValueError(f"{', '.join(counts)} are all 0; expected one face or more")
    images, labels = [], []
    for part, count in enumerate(counts.values()):
        for i in range(count):
            if i % 7 == 0:
                order = np.random.default_rng([seed, part, i // 7, 0]).permutation(len(FER2013))
            label = int(order[i % 7])
            labels.append(label)
            images.append(draw(FER2013[label], np.random.default_rng([seed, part, i, 1])))
    images, labels = np.stack(images), np.array(labels, np.uint8)
    split = np.repeat(np.arange(len(SPLITS), dtype=np.uint8), list(counts.values()))
    return Faces(
        images, labels, split, np.arange(len(labels), dtype=np.int32), "drawn_faces", array_hash(images, labels, split),
        {"file": f"drawn, seed {seed}", "seed": int(seed), **{name: int(count) for name, count in counts.items()}},
    )  # fmt: skip
