"""How time and memory grow: of reading, auditing and training with the rows, of planning, claims and report with the
records; written as one table, one figure and one JSON file."""

from __future__ import annotations

import math
import os
import resource
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import keeping
import made_up_study
import measure
import numpy as np

from fer_lib import data, paths
from fer_lib.data import Faces, audit, drawn_faces, fer2013, near_duplicates
from fer_lib.files import documents, writing
from fer_lib.training.protocol import AS_PUBLISHED, Protocol

TIMES = (1, 4, 16)
"""How many times the least rows."""
SEEDS = (3, 11, 103)
"""Of each of ``made_up_study.scored``: about 300, 1,000 and 10,000 records. Three give an interval, without which there
is no report."""
SPARSE = 2
"""Of so many rows one is looked at for near-duplicates."""
TURNS = 2
"""Of which the faster counts: what another program takes is not growth."""
FEEDFORWARD = Protocol(model="feedforward", optimizer="adam", learning_rate=1e-3, batch_size=128, **AS_PUBLISHED)
PARTS = {
    "loader": ("`fer2013.load()`, first time", 1.1),
    "cache": ("the same from the cache, every pixel read", 1.1),
    "audit": ("audit", 1.1),
    "near_duplicates": ("near-duplicates among every second row", 2.1),
    "training": ("an epoch of the feed-forward network", 1.1),
    "unpacking": ("every predictions file unpacked, once", 1.1),
    "report": ("`make report`", 1.1),
    "claims": ("the claims alone", 1.1),
    "planning": ("`make plan`", 1.1),
    "nothing": ("`make reproduce` with nothing to do", 1.1),
}
"""What grows: its name for a reader, and how fast it may, as an exponent. Near-duplicates compare every row with every
other one."""
BY_ROWS = tuple(PARTS)[:5]
GOALS = {"report": (60, 2.0), "nothing": (10, 2.0)}
"""Most seconds, and most GB of all processes together, with the most records."""
LOADED = (
    "from fer_lib import paths, runs; from fer_lib.evaluation import records, unpacked; "
    "found = records.load(paths.RESULTS); "
)
NETWORKS = LOADED + "from fer_lib.report import climb; climb.load_networks(found, runs.experiments())"
UNPACKING = LOADED + "assert unpacked.prepare(found)"
CLAIMS = LOADED + (
    "from fer_lib.claims import judge; assert judge.judge_ledger(found, runs.experiments(), paths.RESULTS)"
)


# ---- rows: each function takes a CSV and a folder, and is called in a process of its own


def loader(csv: Path, scratch: Path) -> float:
    shutil.rmtree(scratch / "cache", ignore_errors=True)
    return _seconds(_loaded, csv, scratch)


def cache(csv: Path, scratch: Path) -> float:
    return _seconds(lambda: _loaded(csv, scratch).images.sum())


def audited(csv: Path, scratch: Path) -> float:
    return _seconds(audit.write, _loaded(csv, scratch), scratch / "audit")


def near(csv: Path, scratch: Path) -> float:
    """Of every ``SPARSE``-th row: drawn faces are so alike that nearly every pair is looked at closely."""
    faces = _loaded(csv, scratch)
    return _seconds(near_duplicates.find, faces.select(np.arange(0, len(faces), SPARSE)))


def training(csv: Path, scratch: Path) -> float:
    faces = _loaded(csv, scratch)
    _, train_rows = measure.trainer(FEEDFORWARD, faces)

    def train(rows: int, epoch: int) -> None:
        train_rows(np.random.default_rng(epoch).permutation(len(faces))[:rows], epoch)

    train(FEEDFORWARD.batch_size, 0)  # compiles
    return _seconds(train, len(faces) // FEEDFORWARD.batch_size * FEEDFORWARD.batch_size, 1)


def _loaded(csv: Path, scratch: Path) -> Faces:
    paths.CACHE = scratch / "cache"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that drawn faces are not the official data
        return fer2013.load(csv)


def _seconds(function: Callable, *arguments) -> float:
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def _with_peak(function: Callable, *arguments) -> tuple[float, float]:
    """Seconds, and the peak of this process in GB."""
    seconds = function(*arguments)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def by_rows(scratch: Path, least: int) -> dict[str, list[dict]]:
    """Of each part a line for each number of rows: size, seconds, gigabytes."""
    grown = {name: [] for name in BY_ROWS}
    for times in TIMES:
        folder, rows = scratch / f"rows-{times}", least * times
        folder.mkdir()
        tests = rows // 10
        faces = drawn_faces.load(rows - 2 * tests, tests, tests)
        measure.write_csv(faces, folder / "fer2013.csv", rows)
        del faces
        for name, function in zip(BY_ROWS, (loader, cache, audited, near, training), strict=True):
            turns = [measure.apart(_with_peak, function, folder / "fer2013.csv", folder) for _ in range(TURNS)]
            size = rows // SPARSE if name == "near_duplicates" else rows
            grown[name].append(_line(size, *min(turns)))
            measure.say(f"{rows:,} rows, {name}: {grown[name][-1]}")
        shutil.rmtree(folder)
    return grown


# ---- records: whole commands, in a copy of the project


def by_records(scratch: Path) -> dict[str, list[dict]]:
    """Of each part a line for each number of records: size, seconds, gigabytes (of all processes together), and cpu,
    processor seconds."""
    project, names, have = scratch / "project", made_up_study.scored(), 0
    made_up_study.copy(project)
    grown = {name: [] for name in PARTS if name not in BY_ROWS}
    unpacked = project / "results" / "local" / "unpacked"
    asked = ["--profile", "full", "--only", ",".join(names), "--seeds"]
    for seeds in SEEDS:
        measure.apart(_fill, project, names, range(have, seeds))
        have, size = seeds, len(list((project / "results").glob("runs/*/*/*/metrics.json")))
        if seeds == SEEDS[0]:
            watched(project, "-c", NETWORKS)  # Keras builds the networks that are not kept
        shutil.rmtree(unpacked, ignore_errors=True)
        commands = {
            "unpacking": ("-c", UNPACKING),
            "report": ("-m", "fer_lib", "report", "--profile", "full"),
            "claims": ("-c", CLAIMS),
            "planning": ("-m", "fer_lib", "plan", *asked, str(seeds)),
            "nothing": ("-m", "fer_lib", "reproduce", *asked, str(seeds)),
        }
        for name, command in commands.items():
            turns = [watched(project, *command) for _ in range(1 if name in ("unpacking", "report") else TURNS)]
            seconds, gigabytes, cpu = min(turns)
            grown[name].append(_line(size, seconds, gigabytes) | {"cpu": float(f"{cpu:.3g}")})
            measure.say(f"{size:,} records, {name}: {grown[name][-1]}")
    return grown


def _fill(project: Path, names: list[str], seeds: range) -> None:
    faces = data.load_faces("fer2013")
    paths.RESULTS = project / "results"
    made_up_study.fill(faces, names, seeds)


def watched(folder: Path, *command: str) -> tuple[float, float, float]:
    """A Python command in a project: seconds, the peak of all its processes together in GB, and processor seconds.

    What processes share counts once (PSS, of Linux). Raises RuntimeError with its last words where it fails.
    """
    environment = os.environ | {"PYTHONPATH": str(folder)}
    used, started, peak = os.times(), time.perf_counter(), 0
    with open(folder / "said.txt", "wb") as said:
        process = subprocess.Popen([sys.executable, *command], cwd=folder, env=environment, stdout=said, stderr=said)
        while process.poll() is None:
            peak = max(peak, sum(map(_share, _family(process.pid))))
            time.sleep(0.3)  # to look takes time of the cores that are measured
    seconds, now = time.perf_counter() - started, os.times()
    if process.returncode:
        said = (folder / "said.txt").read_text(errors="replace").strip().split("\n")
        raise RuntimeError(f"{' '.join(command):.60}: found exit code {process.returncode}, expected 0: {said[-1]}")
    cpu = now.children_user + now.children_system - used.children_user - used.children_system
    return seconds, peak * 1024 / 1e9, cpu


def _family(process: int) -> list[int]:
    """A process and all that it started, by number."""
    found = [process]
    for one in found:
        with suppress(OSError):  # it, or one of its threads, has ended
            for children in Path(f"/proc/{one}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found


def _share(process: int) -> int:
    """The KiB that a process has in memory; what n processes share counts for each as an n-th."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().split("\n")
        return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    except OSError:
        return 0


# ---- figures


def _line(size: int, seconds: float, gigabytes: float) -> dict:
    return {"size": size, "seconds": float(f"{seconds:.3g}"), "gigabytes": float(f"{gigabytes:.3g}")}


def exponent(lines: list[dict]) -> float:
    """How time grows between the two largest sizes: twice the size takes 2 to this power times as long."""
    (n, before), (m, after) = ((line["size"], line["seconds"]) for line in lines[-2:])
    return math.log(after / before) / math.log(m / n)


def fitted(lines: list[dict]) -> float:
    """The same over all sizes: the slope of a line through the logarithms, by least squares."""
    points = [(math.log(line["size"]), math.log(line["seconds"])) for line in lines]
    x, y = (sum(values) / len(points) for values in zip(*points))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def table(figures: dict) -> str:
    """The figures as Markdown: a table of the rows' parts, one of the records', and what they were measured on."""
    parts = []
    for kind, names in (("rows", BY_ROWS), ("records", [name for name in PARTS if name not in BY_ROWS])):
        grown = figures["grown"]
        if not (shown := [name for name in names if name in grown]):
            continue
        heads = " | ".join(f"{line['size']:,} {kind}" for line in grown[shown[0]])
        parts += [f"| seconds (GB) | {heads} | exponent | over all | goal |", "|---|--:|--:|--:|--:|--:|---|"]
        for name in shown:
            title, most = PARTS[name]
            cells = " | ".join(f"{line['seconds']:,.3g} ({line['gigabytes']:.2g})" for line in grown[name])
            slope, last = exponent(grown[name]), grown[name][-1]
            goal = f"{most:g}: {'met' if slope <= most else 'missed'}"
            if name in GOALS:
                seconds, gigabytes = GOALS[name]
                goal += f"; {seconds} s: {'met' if last['seconds'] < seconds else 'missed'}"
                goal += f"; {gigabytes:g} GB: {'met' if last['gigabytes'] < gigabytes else 'missed'}"
            parts.append(f"| {title} | {cells} | {slope:.2f} | {fitted(grown[name]):.2f} | {goal} |")
        parts.append("")
    if "report" in figures["grown"]:
        used = {name: figures["grown"][name][-1] for name in ("unpacking", "report", "nothing")}
        told = ", ".join(f"{PARTS[name][0]} {line['cpu']:,.0f} s" for name, line in used.items())
        parts.append(f"Processor time with the most records: {told}.\n")
    facts = f"{keeping.conditions(figures)}All figures: [bench/growth.json](../bench/growth.json)."
    return "\n".join([*parts, facts, ""])


def plot(figures: dict) -> bytes:
    """Time against size, a line for each part with its exponent, as a PNG."""
    from matplotlib import rc_context

    from fer_lib.report.figures import THEME, canvas

    with rc_context(THEME):
        own = {kind: [name for name in figures["grown"] if (name in BY_ROWS) == (kind == "rows")]
               for kind in ("rows", "records")}  # fmt: skip
        own = {kind: names for kind, names in own.items() if names}
        figure, panels = canvas(5.2 * len(own), 4.6, 1, len(own), squeeze=False)
        for axes, (kind, chosen) in zip(panels.flat, own.items()):
            for name, colour in zip(chosen, ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#7a52a5"), strict=False):
                lines = figures["grown"][name]
                label = f"{PARTS[name][0].replace('`', '')}: {exponent(lines):.2f}"
                axes.loglog(
                    [line["size"] for line in lines],
                    [line["seconds"] for line in lines],
                    "o-", color=colour, lw=1.8, ms=5, label=label,
                )  # fmt: skip
            axes.set(xlabel=kind.capitalize(), ylabel="Seconds", title=f"By {kind}, with exponents")
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1)
        return figure._repr_png_(120)


def measured(scratch: Path, rows: int) -> dict:
    """The figures of rows and records. Without the official FER2013 those of the records are left out: a record is
    current, and evidence, by its hash."""
    grown = by_rows(scratch, rows)
    found = fer2013.find()
    if found and fer2013.load(found).source["official"]:
        grown |= by_records(scratch)
    else:
        measure.say("records: left out, for want of the official FER2013 (FER2013=PATH or data/)")
    return {"grown": grown}


def main(arguments: list[str] | None = None) -> int:
    description = (
        "Measure how time and memory grow with the rows (drawn faces) and the records (made up), in less than twelve "
        "minutes on two idle cores. Takes 6 GB of disk meanwhile."
    )
    counts = {"rows": (2000, 200, "the least rows; four and sixteen times as many are measured too")}
    arguments = sys.argv[1:] if arguments is None else arguments
    code = keeping.main("growth", description, measured, table, counts, arguments)
    if code == 0:
        keep = "--keep" in arguments
        place = paths.ROOT / "docs" / "growth.png" if keep else paths.RESULTS / "local" / "growth.png"
        writing.replace_bytes(place, plot(documents.read_json(keeping.kept("growth", keep))))
    return code


if __name__ == "__main__":
    sys.exit(main())
