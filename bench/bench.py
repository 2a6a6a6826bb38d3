"""How fast the study loads, trains and starts: measured by ``measure.py``, told as one table and one JSON file."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import measure

from fer_lib import paths, provenance, records

KEPT = paths.ROOT / "bench" / "bench.json"
README = paths.ROOT / "README.md"
MARKS = "<!-- written by bench/bench.py -->\n", "<!-- end -->\n"
SETTINGS = (
    "KERAS_BACKEND",
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
    "XLA_FLAGS",
)


def table(figures: dict) -> str:
    """The figures as Markdown: a table, and what they were measured on. Goals are this study's own."""

    def line(what, values, form, goal="", met=None):
        if met is not None:
            goal += ": met" if met(values["median"]) else ": missed"
        low, middle, high = (format(values[name], form) for name in ("min", "median", "max"))
        return f"| {what} | {middle} | {low} | {high} | {goal} |"

    load, start = figures["loading"], figures["starting"]
    lines = ["| what | median | min | max | goal |", "|---|--:|--:|--:|---|"]
    lines += [
        line("fer2013.csv as torchvision reads it, s", load["torchvision_s"], ".3g"),
        line("with pandas and `numpy.fromstring`, nothing checked, s", load["pandas_s"], ".3g"),
        line("`fer2013.load()`, first time, s", load["first_s"], ".3g"),
        line("torchvision's way takes so many times longer", load["times_torchvision"], ".2f", "4", lambda x: x >= 4),
        line("`fer2013.load()`, cached, s", load["cached_s"], ".2g", "under 0.05", lambda x: x < 0.05),
        line("the same, and every pixel read, s", load["cached_read_s"], ".2g"),
    ]
    for precision, rate in figures["training"].items():
        lines += [
            line(f"proposed CNN, {precision}, training images/s", rate["images_per_s"], ".3g"),
            line("... in GFLOP/s", rate["gflop_per_s"], ".0f"),
            line(f"matrix product, {precision}, GFLOP/s", rate["matmul_gflop_per_s"], ".0f"),
            line("training, as a share of it", rate["share"], ".0%", "75%", lambda x: x >= 0.75),
        ]
        if "share_by_processor_time" in rate:
            lines.append(line("the same, by processor time", rate["share_by_processor_time"], ".0%"))
    lines += [
        line("`make reproduce` with nothing to do, s", start["reproduce_s"], ".2g", "under 10", lambda x: x < 10),
        line("`python -m fer_lib --help`, s", start["help_s"], ".2g"),
    ]
    rate = figures["training"]["float32"]
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    onednn = figures["settings"].get("TF_ENABLE_ONEDNN_OPTS")
    facts = (
        f"Measured {figures['date']} on {rate['device']['name']}, {rate['device']['threads']} threads"
        + (f", {figures['machine']['name']}" if rate["device"]["kind"] == "gpu" else "")
        + ", load average {} before and {} after; ".format(*figures["load_average"])
        + versions
        + (f"; TF_ENABLE_ONEDNN_OPTS={onednn}" if onednn else "")
        + f". Loaded: {load['rows']:,} rows, {load['data']}, {load['megabytes']} MB, in memory already. "
        + ("" if "bfloat16" in figures["training"] else "No bfloat16: this machine has no units for it. ")
        + "All figures: [bench/bench.json](bench/bench.json)."
    )
    return "\n".join([*lines, "", facts, ""])


def replace_text(path: Path, text: str) -> None:
    """Write a text file beside its place, then rename it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def readme_with(text: str, figures: dict) -> str:
    """The README's text with these figures between the two marks. Raises ValueError where a mark is not there once."""
    for mark in MARKS:
        if text.count(mark) != 1:
            raise ValueError(f"{README}: found {text.count(mark)} times {mark.strip()!r}, expected once; put it back")
    before, rest = text.split(MARKS[0])
    return before + MARKS[0] + table(figures) + MARKS[1] + rest.split(MARKS[1])[1]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="bench.py",
        description="Measure how fast the study loads, trains and starts, in less than ten minutes on two idle cores. "
        "Prints a table and keeps the figures in results/local/bench.json. FER2013=PATH or data/ brings the data; "
        "without it, drawn faces are written in its form.",
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the figures in bench/bench.json and the README instead, to commit"
    )
    options = parser.parse_args(arguments)
    threads = str(os.cpu_count())  # as the Snakefile sets them for a run on all cores
    for name, value in zip(SETTINGS[1:4], (threads, threads, "1"), strict=True):
        os.environ.setdefault(name, value)
    os.environ["TQDM_DISABLE"] = "1"  # the lines of the turns are progress enough
    figures = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": records.cpu() | {"cores": os.cpu_count()},
        "load_average": [round(os.getloadavg()[0], 1)],
        "versions": provenance.versions() | {"pandas": importlib.metadata.version("pandas")},
        "code": provenance.code(),
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
    }
    try:
        with tempfile.TemporaryDirectory(prefix="fer-bench-") as folder:
            scratch = Path(folder)
            path, about = measure.csv_to_read(scratch)
            os.environ["FER_CACHE"] = str(scratch / "cache")  # of the processes that follow
            measure.say(f"loading: {about['data']}")
            figures["loading"] = about | measure.loading(path, scratch / "cache")
            figures["training"] = measure.apart(measure.training_rates)
            figures["starting"] = measure.starting(scratch)
        figures["load_average"].append(round(os.getloadavg()[0], 1))
        measure.say("\n" + table(figures))
        kept = KEPT if options.keep else paths.RESULTS / "local" / "bench.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        replace_text(kept, json.dumps(figures, indent=1) + "\n")
        if options.keep:
            replace_text(README, readme_with(README.read_text(encoding="utf-8"), figures))
        measure.say(f"Kept in {kept.relative_to(paths.ROOT)}")
    except (ValueError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
