"""What ``live.py`` measures: frames to look at, the ways to look at them, and which small faces a detector finds."""

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
from fer_lib.live import detectors
from fer_lib.live.boxes import overlap

WIDTH, HEIGHT = 640, 480
NEARLY_ALL = 0.9
"""Share of the faces that a way must find for its speed to be one."""
SIZES = (32, 40, 48, 64, 80, 96, 128, 192)


def photograph() -> np.ndarray:
    """What is behind the faces, (480, 640, 3) uint8, blue first."""
    from skimage import data

    return cv2.resize(np.ascontiguousarray(data.coffee()[..., ::-1]), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def frames(faces: int, count: int) -> list[np.ndarray]:
    """Frames with one large face, or with ten in two rows, that sway."""
    from skimage import data

    head = np.ascontiguousarray(data.astronaut()[20:190, 140:310, ::-1])  # of which the face is 0.56
    side, columns = (240, 1) if faces == 1 else (120, 5)
    head, rows = cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA), faces // columns
    empty, images = photograph(), []
    for k in range(count):
        image = empty.copy()
        for n in range(faces):
            x = round((n % columns + 0.5) * WIDTH / columns - side / 2 + 4 * math.sin(0.3 * k + n))
            y = round((n // columns + 0.5) * HEIGHT / rows - side / 2 + 4 * math.cos(0.2 * k + n))
            x, y = min(max(x, 0), WIDTH - side), min(max(y, 0), HEIGHT - side)
            image[y : y + side, x : x + side] = head
        images.append(image)
    return images


def write_video(path: Path, images: list[np.ndarray]) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
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
    """The lines of most repositories, in a process that has Keras."""
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


WAYS = {"usual": (usual, "usual"), "paper": (ours, "paper"), "tuned": (ours, "tuned")}


def speed(video: Path, faces: int, count: int, pool: ProcessPoolExecutor, turns: int) -> dict:
    """Milliseconds a frame of all ways, by stage and in all: median and 95th percentile of each turn.

    video: of ``count`` frames with so many faces each. pool: a process, which alone loads Keras. Raises RuntimeError
    where a way does not find nearly all faces, because it would be fast for that reason.
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
            if way != "paper" and found < NEARLY_ALL * faces * count:  # the paper's finds none under 100 pixels
                raise RuntimeError(f"{way}: found {found} faces in {count} frames with {faces}; expected nearly all")
            seconds["all"] = np.sum(list(seconds.values()), 0).tolist()
            whole[way] = np.median(seconds["all"])
            for stage, values in seconds.items():
                for share in (50, 95):
                    took = 1000 * float(np.percentile(values, share))
                    measured[way].setdefault(f"{stage}_p{share}_ms", []).append(took)
            measured[way].setdefault("faces_found", []).append(found / (faces * count))
        times_usual.append(whole["usual"] / whole["tuned"])
        measure.say(
            f"{faces} faces, turn {turn + 1}/{turns}: "
            + ", ".join(f"{way} {1000 * each:.3g} ms" for way, each in whole.items())
        )
    figures = {way: {name: measure.spread(each) for name, each in stages.items()} for way, stages in measured.items()}
    return figures | {"times_usual": measure.spread(times_usual)}


# ---- what small faces cost


def detection_rates(count: int) -> dict:
    """Share of faces found by each detector, by the side of FER2013's picture of it in a frame of 640 x 480.

    FER2013's PublicTest where it is here, drawn faces else, before the photograph, each in a place of its own. A face
    is found when a box shares 0.3 with its picture. The first frame of a video: nothing is known of a face before.
    """
    real = fer2013.find() is not None
    faces = load_faces("fer2013" if real else "drawn_faces")
    rng, behind = np.random.default_rng(0), cv2.cvtColor(photograph(), cv2.COLOR_BGR2GRAY)
    rows = rng.permutation(faces.rows("PublicTest"))[:count]
    finders = {name: detectors.detector(name) for name in ("usual", "paper")}
    finders = {"tuned": detectors.Tuned(every=1)} | finders  # each frame as if it were a video's first
    rates: dict[str, list[float]] = {name: [] for name in finders}
    false_alarms = dict.fromkeys(rates, 0)
    for size in SIZES:
        hits = dict.fromkeys(rates, 0)
        for row in rows:
            x, y = int(rng.integers(WIDTH - size + 1)), int(rng.integers(HEIGHT - size + 1))
            how = cv2.INTER_CUBIC if size > 48 else cv2.INTER_AREA
            frame = behind.copy()
            frame[y : y + size, x : x + size] = cv2.resize(faces.images[row], (size, size), interpolation=how)
            colour = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
            for name, find in finders.items():
                boxes = find(colour, frame)
                true = [box for box in boxes if overlap(box, np.array((x, y, size, size))) > 0.3]
                hits[name] += bool(true)
                false_alarms[name] += len(boxes) - len(true)
        for name, hit in hits.items():
            rates[name].append(round(hit / len(rows), 4))
        measure.say(f"faces of {size}: " + ", ".join(f"{name} {each[-1]:.0%}" for name, each in rates.items()))
    data = "FER2013, PublicTest" if real else "drawn faces, which say nothing about people"
    alarms = {name: round(number / (len(SIZES) * len(rows)), 4) for name, number in false_alarms.items()}
    return {"data": data, "faces": len(rows), "sizes": SIZES, "found": rates, "false_alarms_a_frame": alarms}
