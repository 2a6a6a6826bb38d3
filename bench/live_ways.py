"""What ``live.py`` measures: the frames, the ways to process them, and which faces a detector finds."""

from __future__ import annotations

import math
import time
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import measure
import numpy as np

from fer_lib import live
from fer_lib.data import fer2013, load_faces
from fer_lib.evaluation import statistics
from fer_lib.live import detectors, survey
from fer_lib.live.boxes import overlap

SIZES = {"640 x 480": (640, 480), "1280 x 720": (1280, 720)}
FACES = (1, 10)
NEARLY_ALL = 0.9
"""Share of the faces that a way must find for its speed to count."""
CONDITIONS = {
    "plain (160 px)": {},
    "tilt 20": {"tilt": 20}, "tilt 30": {"tilt": 30}, "tilt 45": {"tilt": 45}, "tilt 60": {"tilt": 60},
    "light x 0.1": {"light": 0.1}, "light x 0.25": {"light": 0.25},
    "blur 4": {"blur": 4.0}, "lower 30 % hidden": {"hidden": 0.3},
    "face of 48 px": {"size": 48}, "face of 64 px": {"size": 64}, "face of 96 px": {"size": 96},
    "face of 256 px": {"size": 256},
}  # fmt: skip
"""Name -> what is changed in ``survey.compose``."""
OTHER_THINGS = ("brick", "cat", "clock", "coffee", "coins", "grass", "gravel", "hubble_deep_field",
                "immunohistochemistry", "moon", "page", "rocket", "text")  # fmt: skip
"""Photographs without people that come with scikit-image. Coins show heads, and the cat has a face."""


def photograph(width: int, height: int) -> np.ndarray:
    """The background of the faces, (height, width, 3) uint8 BGR."""
    from skimage import data

    return cv2.resize(np.ascontiguousarray(data.coffee()[..., ::-1]), (width, height), interpolation=cv2.INTER_AREA)


def frames(faces: int, count: int, width: int = 640, height: int = 480) -> list[np.ndarray]:
    """Frames with one large face, or with ten in two rows, that move."""
    from skimage import data

    head = np.ascontiguousarray(data.astronaut()[20:190, 140:310, ::-1])  # of which the face is 0.56
    side, columns = (height // 2, 1) if faces == 1 else (height // 4, 5)
    head, rows = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA), faces // columns
    empty, images = photograph(width, height), []
    for k in range(count):
        image = empty.copy()
        for n in range(faces):
            x = round((n % columns + 0.5) * width / columns - side / 2 + 4 * math.sin(0.3 * k + n))
            y = round((n // columns + 0.5) * height / rows - side / 2 + 4 * math.cos(0.2 * k + n))
            x, y = min(max(x, 0), width - side), min(max(y, 0), height - side)
            image[y : y + side, x : x + side] = head
        images.append(image)
    return images


def write_video(path: Path, images: list[np.ndarray]) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "18"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for k, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "bgr24")
            frame.pts, frame.time_base = k, Fraction(1, 30)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


# ---- the ways: each takes a video and a detector's name, and gives (faces found, seconds by stage of each frame)


def ours(path: Path, detector: str) -> tuple[int, dict[str, list[float]]]:
    """``live.watch``."""
    count, seconds = 0, {"read": [], "detect": [], "crop": [], "classify": []}
    for result in live.watch(path, detector, classifier()):
        count += len(result.faces)
        for stage, took in result.seconds.items():
            seconds[stage].append(took)
    return count, seconds


@cache
def classifier():
    from fer_lib.live import inference

    return inference.load()


def usual(path: Path, detector: str) -> tuple[int, dict[str, list[float]]]:
    """The usual lines of most repositories, in a process with Keras."""
    model, find = proposed_cnn(), detectors.detector(detector)
    video, count, seconds = cv2.VideoCapture(str(path)), 0, {"read": [], "detect": [], "classify": []}
    while True:
        times = [time.perf_counter()]
        whole, image = video.read()
        if not whole:
            return count, seconds
        times.append(time.perf_counter())
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        boxes = find(image, grey)
        times.append(time.perf_counter())
        for x, y, width, height in boxes:
            face = cv2.resize(grey[y : y + height, x : x + width], (48, 48), interpolation=cv2.INTER_CUBIC)
            model.predict(face[None, :, :, None] / 255.0, verbose=0)
            count += 1
        times.append(time.perf_counter())
        for stage, took in zip(seconds, np.diff(times)):
            seconds[stage].append(float(took))


@cache
def proposed_cnn():
    from fer_lib import models

    model = models.build("proposed_cnn")
    model.predict(np.zeros((1, 48, 48, 1)), verbose=0)  # what it compiles is not counted
    return model


WAYS = {"usual": (usual, "usual"), "paper": (ours, "paper"), "tuned": (ours, "tuned"), "blaze": (ours, "blaze")}


def speed(video: Path, faces: int, count: int, pool: ProcessPoolExecutor, turns: int) -> dict:
    """Milliseconds per frame of all ways, by stage and in total: median and 95th percentile of each turn.

    video: of ``count`` frames with this many faces each. pool: a process, the only one that loads Keras. Raises
    RuntimeError if ours does not find nearly all faces, because then its speed would mean nothing; for the other ways
    the table says so.
    """
    measured: dict[str, dict[str, list[float]]] = {way: {} for way in WAYS}
    times_usual: list[float] = []
    for turn in range(turns):
        whole = {}
        for way, (function, detector) in WAYS.items():
            if function is usual:
                found, seconds = pool.submit(function, video, detector).result()
            else:
                found, seconds = function(video, detector)
            if way == "blaze" and found < NEARLY_ALL * faces * count:
                raise RuntimeError(f"{way}: found {found} faces in {count} frames with {faces}; expected nearly all")
            seconds["all"] = np.sum(list(seconds.values()), 0).tolist()
            whole[way] = np.median(seconds["all"])
            for stage, values in seconds.items():
                for share in (50, 95):
                    took = 1000 * float(np.percentile(values, share))
                    measured[way].setdefault(f"{stage}_p{share}_ms", []).append(took)
            measured[way].setdefault("faces_found", []).append(found / (faces * count))
        times_usual.append(whole["usual"] / whole["blaze"])
        measure.say(
            f"{faces} faces, turn {turn + 1}/{turns}: "
            + ", ".join(f"{way} {1000 * each:.3g} ms" for way, each in whole.items())
        )
    figures = {way: {name: measure.spread(each) for name, each in stages.items()} for way, stages in measured.items()}
    return figures | {"times_usual": measure.spread(times_usual)}


# ---- which faces a detector finds


def found_under(count: int) -> dict:
    """How many faces each detector finds in a video's first frame under each of ``CONDITIONS``, with 95 % intervals,
    the milliseconds it takes, and its number of false alarms.

    FER2013's PublicTest if it is here, otherwise drawn faces, put into frames by ``survey.compose``.
    """
    real = fer2013.find() is not None
    faces = load_faces("fer2013" if real else "drawn_faces")
    rows = np.random.default_rng(0).permutation(faces.rows("PublicTest"))[:count]
    finders = {name: detectors.detector(name, moving=False) for name in ("blaze", "usual", "paper")}
    finders["tuned"] = detectors.Tuned(every=1)  # each frame is like a video's first
    table: dict[str, dict] = {}
    for condition, changed in CONDITIONS.items():
        hits, seconds = dict.fromkeys(finders, 0), {name: [] for name in finders}
        for row in rows:
            frame, true = survey.compose(
                faces.images[row], np.random.default_rng((0, int(row))), **survey.USUAL | changed
            )
            colour = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
            for name, find in finders.items():
                started = time.perf_counter()
                boxes = find(colour, frame)
                seconds[name].append(time.perf_counter() - started)
                hits[name] += max((overlap(box, true) for box in boxes), default=0.0) > survey.SAME
        table[condition] = {
            name: {
                "found": round(k / len(rows), 4),
                "interval": [round(end, 4) for end in statistics.wilson(k, len(rows))],
                "p50_ms": round(1000 * float(np.median(seconds[name])), 2),
            }
            for name, k in hits.items()
        }
        shares = ", ".join(f"{name} {each['found']:.0%}" for name, each in table[condition].items())
        measure.say(f"{condition}: {shares}")
    pictures = other_things()
    alarms = {name: sum(len(find(image, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))) for image in pictures) / len(pictures)
              for name, find in finders.items()}  # fmt: skip
    data = "FER2013, PublicTest" if real else "drawn faces, which say nothing about people"
    return {"data": data, "faces": len(rows), "conditions": table, "pictures": len(pictures),
            "false_alarms_a_picture": {name: round(each, 3) for name, each in alarms.items()}}  # fmt: skip


def other_things() -> list[np.ndarray]:
    """Photographs without people, and each quarter of each, all of (480, 640, 3) uint8."""
    from skimage import data

    images = []
    for name in OTHER_THINGS:
        image = getattr(data, name)()
        image = np.ascontiguousarray(image[..., ::-1] if image.ndim == 3 else np.stack([image] * 3, -1))
        h, w = image.shape[0] // 2, image.shape[1] // 2
        images += [image, image[:h, :w], image[h:, :w], image[:h, w:], image[h:, w:]]
    return [cv2.resize(np.ascontiguousarray(image), (640, 480), interpolation=cv2.INTER_AREA) for image in images]
