"""How fast the study loads, trains and starts: measured by ``measure.py``, written as one table and one JSON file."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

import keeping
import measure
from keeping import line

from fer_lib.evaluation import provenance

SETTINGS = (
    "KERAS_BACKEND",
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
    "XLA_FLAGS",
)


def table(figures: dict) -> str:
    """The figures as Markdown: a table, and what they were measured on. The goals are this study's own."""
    load, start = figures["loading"], figures["starting"]
    lines = [
        *keeping.HEAD,
        line("fer2013.csv as torchvision reads it, s", load["torchvision_s"], ".3g"),
        line("with pandas and `numpy.fromstring`, nothing checked, s", load["pandas_s"], ".3g"),
        line("`fer2013.load()`, first time, s", load["first_s"], ".3g"),
        line("time of torchvision's way, as a multiple", load["times_torchvision"], ".2f", "4", lambda x: x >= 4),
        line("`fer2013.load()`, cached, s", load["cached_s"], ".2g", "under 0.05", lambda x: x < 0.05),
        line("the same with every pixel read, s", load["cached_read_s"], ".2g"),
    ]
    for precision, rate in figures["training"].items():
        lines += [
            line(f"proposed CNN, {precision}, training images/s", rate["images_per_s"], ".3g"),
            line("... in GFLOP/s", rate["gflop_per_s"], ".0f"),
            line(f"matrix product, {precision}, GFLOP/s", rate["matmul_gflop_per_s"], ".0f"),
            line("training, as a share of that", rate["share"], ".0%", "75%", lambda x: x >= 0.75),
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
        + "All figures: [bench/bench.json](../bench/bench.json)."
    )
    return "\n".join([*lines, "", facts, ""])


def measured(scratch: Path) -> dict:
    """The figures of loading, training and starting."""
    threads = str(os.cpu_count())  # as in the Snakefile for a run on all cores
    for name, value in zip(SETTINGS[1:4], (threads, threads, "1"), strict=True):
        os.environ.setdefault(name, value)
    path, about = measure.csv_to_read(scratch)
    os.environ["FER_CACHE"] = str(scratch / "cache")  # for the processes that follow
    measure.say(f"loading: {about['data']}")
    return {
        "versions": provenance.versions() | {"pandas": importlib.metadata.version("pandas")},
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
        "loading": about | measure.loading(path, scratch / "cache"),
        "training": measure.apart(measure.training_rates),
        "starting": measure.starting(scratch),
    }


def main(arguments: list[str] | None = None) -> int:
    description = (
        "Measure how fast the study loads, trains and starts, in less than ten minutes on two idle cores. FER2013=PATH "
        "or data/ brings the data; without it, drawn faces are written in its form."
    )
    return keeping.main("bench", description, measured, table, {}, arguments)


if __name__ == "__main__":
    sys.exit(main())
