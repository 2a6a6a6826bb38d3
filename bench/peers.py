"""Ours compared with the PyPI package ``fer``: speed on the same video, accuracy on the same faces of PrivateTest.

``fer`` runs in a separate environment, ``.venv-peers``, called as in its README. The videos are those of ``live.py``,
each read, searched and classified frame by frame, in turns. For the accuracy its two networks, the default one in 8
bits and the one it was made from, get FER2013's pictures prepared like its own crops; ours gets the same pictures.
``fer``'s network was chosen on these same rows, ours on PublicTest.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import keeping
import live_ways
import measure
import numpy as np
from keeping import line

from fer_lib import data, paths
from fer_lib.data import fer2013
from fer_lib.evaluation import scoring, statistics
from fer_lib.live import inference, model_card

FACES = (1, 10)
TIMES = 4
"""Goal: how many times faster than `fer` ours is with ten faces."""
WAYS = {"ours": "ours, `blaze`", "haar": "`fer`", "mtcnn": "`fer` with MTCNN"}
ENVIRONMENT = {"PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "3"}
PEER = [str(paths.ROOT / ".venv-peers" / "bin" / "python"), str(Path(__file__).with_name("peer_fer.py"))]


def speed(videos: dict[int, Path], count: int, turns: int) -> dict:
    """Milliseconds per frame of both, and the share of faces that each finds, by the number of faces in a frame.

    Raises RuntimeError with its output if the other one fails.
    """
    measured: dict[str, dict[str, list]] = {str(faces): {} for faces in videos}
    for turn in range(turns):
        printed = measure.command_seconds([*PEER, *map(str, videos.values())], paths.ROOT, ENVIRONMENT)[1]
        theirs = json.loads(printed.splitlines()[-1])
        for faces, video in videos.items():
            our_count, stages = live_ways.ours(video, "blaze")
            ours = np.sum(list(stages.values()), 0)
            row = {
                "ours_p50_ms": 1000 * float(np.median(ours)),
                "ours_p95_ms": 1000 * float(np.percentile(ours, 95)),
                "ours_found": our_count / (faces * count),
            }
            for detector, seen in theirs[str(video)].items():
                half, most = 1000 * np.percentile(seen["seconds"], (50, 95))
                row |= {
                    f"{detector}_p50_ms": float(half), f"{detector}_p95_ms": float(most),
                    f"{detector}_found": seen["found"] / (faces * count),
                    f"{detector}_times": float(half) / row["ours_p50_ms"],
                }  # fmt: skip
            for name, value in row.items():
                measured[str(faces)].setdefault(name, []).append(value)
            measure.say(
                f"{faces} faces, turn {turn + 1}/{turns}: {row['ours_p50_ms']:.3g} ms, fer "
                + ", ".join(f"{row[f'{detector}_p50_ms']:.3g} ({detector})" for detector in theirs[str(video)])
            )
    by_faces = {faces: {name: measure.spread(each) for name, each in rows.items()} for faces, rows in measured.items()}
    return {"versions": theirs["versions"], "speed": by_faces}


def accuracy(scratch: Path) -> dict | None:
    """For all three networks on PrivateTest and its clean rows: correct, n, accuracy, interval. None without
    FER2013."""
    if fer2013.find() is None:
        return None
    faces = data.load_faces("fer2013")
    private = faces.rows("PrivateTest")
    np.save(scratch / "faces.npy", faces.images[private])
    measure.command_seconds(
        [*PEER, str(scratch / "faces.npy"), str(scratch / "predictions.npz")], paths.ROOT, ENVIRONMENT
    )
    with np.load(scratch / "predictions.npz") as arrays:
        predictions = {"fer, 8 bits": arrays["int8"], "fer, float": arrays["float"]}
    predictions["ours"] = live_ways.classifier().classify(faces.images[private])
    clean = scoring.sets(faces)["PrivateTest clean"][private]
    scores = {}
    for name, probabilities in predictions.items():
        recognised = probabilities.argmax(1) == faces.labels[private]
        for rows, there in (("PrivateTest", np.full(len(recognised), True)), ("PrivateTest clean", clean)):
            correct, n = int(recognised[there].sum()), int(there.sum())
            low, high = statistics.wilson(correct, n)
            scores.setdefault(name, {})[rows] = {
                "correct": correct, "n": n, "accuracy": round(correct / n, 4),
                "interval": (round(low, 4), round(high, 4)),
            }  # fmt: skip
    return scores


def table(figures: dict) -> str:
    """The figures as Markdown."""
    lines = [*keeping.HEAD]
    for faces, speed in figures["speed"].items():
        many = f"{faces} face{'s' * (faces != '1')}"
        for name, what in WAYS.items():
            if f"{name}_p50_ms" not in speed:
                continue
            lines.append(line(f"{many}: {what}, ms per frame", speed[f"{name}_p50_ms"], ".3g"))
            lines.append(line("... 95th percentile", speed[f"{name}_p95_ms"], ".3g"))
            lines.append(line("... faces found", speed[f"{name}_found"], ".0%"))
            if f"{name}_times" in speed:
                goal = (f"{TIMES}", lambda x: x >= TIMES) if name == "haar" and faces != "1" else ()
                lines.append(line("... time relative to ours", speed[f"{name}_times"], ".1f", *goal))
    if all("mtcnn_p50_ms" not in speed for speed in figures["speed"].values()):
        lines += ["", "`fer` with MTCNN was not measured: it needs PyTorch (`make torch`)."]
    if accuracies := figures["accuracy"]:
        about = json.loads(inference.MODEL.with_suffix(".json").read_text())
        lead = model_card.beside_fer(about, accuracies)
        rows = dict(accuracies)
        if lead:
            both = rows.pop("ours")
            rows |= {"ours, one look": about["without_mirror"], "ours, two looks": both}
        lines += ["", "| network | PrivateTest, % | interval | clean rows, % | interval |", "|---|--:|--:|--:|--:|"]
        for name, sets in rows.items():
            cells = (f"{100 * s['accuracy']:.2f} | {100 * s['interval'][0]:.2f} to {100 * s['interval'][1]:.2f}"
                     for s in (sets["PrivateTest"], sets["PrivateTest clean"]))  # fmt: skip
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines += ["", lead] if lead else []
    facts = (
        keeping.conditions(figures)
        + ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
        + ". Both read the same videos. All figures: [bench/peers.json](../bench/peers.json)."
    )
    return "\n".join([*lines, "", facts, ""])


def measured(scratch: Path, turns: int, frames: int) -> dict:
    """The figures of speed and of accuracy."""
    videos = {faces: scratch / f"{faces}.mkv" for faces in FACES}
    for faces, path in videos.items():
        live_ways.write_video(path, live_ways.frames(faces, frames))
    return speed(videos, frames, turns) | {"accuracy": accuracy(scratch)}


def main(arguments: list[str] | None = None) -> int:
    counts = {"turns": (3, 1, "how often speed is measured"), "frames": (60, 1, "of each video")}
    description = (
        "Compare speed and accuracy with the PyPI package fer. FER2013=PATH or data/ brings the faces; without it "
        "the accuracies are left out."
    )
    return keeping.main("peers", description, measured, table, counts, arguments)


if __name__ == "__main__":
    sys.exit(main())
