"""Copies of the project, whole or with a few small experiments, for tests that start studies; and what these leave."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil

from fer_lib import paths
from fer_lib.evaluation import records

TREE = """
title: A tree
where: Table I, row 1
notebook: 2_decision_tree
backend: sklearn
reported: {accuracy: 30.84}
parameters: {data: fer2013, random_split: false}
deviations: [It is small.]
expect: {hours_cpu: 0.1, hours_gpu: 0.1}
"""
NETWORK = """
title: A network
where: Table I, row 2
notebook: 3_train_network
protocol: as_published
reported: {accuracy: 17.38, rows: PublicTest+PrivateTest}
parameters: {data: fer2013, model: feedforward}
deviations: [It is small.]
expect: {hours_cpu: 1, hours_gpu: 1}
"""

COPIED = ("fer_lib", "notebooks", "profiles", "experiments", "claims", "Snakefile", "Makefile")
PROVENANCE = ("code", "device", "finished", "lock_sha256", "peak_memory_bytes", "seconds", "versions")
"""The fields of a record that say where and how it was made."""


def copy_of_the_project(folder: Path) -> None:
    """What runs need, where the study can leave its results."""
    for name in COPIED:
        source = paths.ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)


def records_of(results: Path) -> dict[str, tuple[object, dict]]:
    """Each record's predictions, as they lie on the disk, and its metrics but for where they are from, by its place.

    A survey measures how long detectors take, among its predictions too: these seconds are left out.
    """
    found = {}
    for path in sorted((results / "runs").glob("*/*/*/metrics.json")):
        record = {key: value for key, value in json.loads(path.read_text()).items() if key not in PROVENANCE}
        for epoch in record["history"]:
            for name in ("seconds", "training_seconds"):
                epoch.pop(name, None)
        predictions = path.with_name("predictions.npz")
        if "conditions" in record:
            del record["predictions_sha256"]
            arrays = records.read_arrays(predictions)
            content = {name: array.tobytes() for name, array in arrays.items() if name != "seconds"}
        else:
            content = predictions.read_bytes()
        found[path.parent.relative_to(results / "runs").as_posix()] = content, record
    return found


def differing(ours: dict, theirs: dict) -> list[str]:
    """A sentence for each record that one of two lacks, or that is another."""
    sentences = [f"{place}: only in one of both" for place in sorted(ours.keys() ^ theirs.keys())]
    for place in sorted(ours.keys() & theirs.keys()):
        if ours[place][0] != theirs[place][0]:
            sentences.append(f"{place}: other predictions")
        keys = ours[place][1].keys() | theirs[place][1].keys()
        if unlike := sorted(key for key in keys if ours[place][1].get(key) != theirs[place][1].get(key)):
            sentences.append(f"{place}: other {', '.join(unlike)}")
    return sentences


def processes(folder: Path, plays=lambda line: True) -> list[psutil.Process]:
    """What lives and works in a folder, of it those whose command, as words, ``plays`` the part that is asked for."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and plays(process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # zombies too
            continue
    return found


class Study:
    """The copy in ``folder``; experiments are given as YAML by name and belong to the study "study"."""

    def __init__(self, folder: Path, **experiments: str):
        self.folder = folder
        for name in ("fer_lib", "notebooks", "profiles"):
            shutil.copytree(paths.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Snakefile", "Makefile"):
            shutil.copy(paths.ROOT / name, folder)
        (folder / "experiments" / "study").mkdir(parents=True)
        for name, text in experiments.items():
            self.set(name, text)
        self.environment = os.environ | {"PYTHONPATH": str(folder), "FER_CACHE": str(folder / "cache")}
        self.environment.pop("FER2013", None)
        self.local = folder / "results" / "local" / "smoke"

    def set(self, name: str, text: str) -> None:
        (self.folder / "experiments" / "study" / f"{name}.yaml").write_text(text)

    def start(self, *arguments: str, command=(sys.executable, "-m", "fer_lib")) -> subprocess.Popen:
        """Start ``python -m fer_lib`` with these arguments, its output in ``output.txt``."""
        with open(self.folder / "output.txt", "w") as output:
            return subprocess.Popen(
                [*command, *arguments], cwd=self.folder, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )

    def output(self) -> str:
        return (self.folder / "output.txt").read_text()

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "fer_lib", *arguments]
        return subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)

    def predictions(self) -> dict[str, dict[str, np.ndarray]]:
        """The arrays of every record's predictions, by its folder."""
        predictions = {}
        for path in sorted((self.local / "runs").glob("*/*/*/metrics.json")):
            place = str(path.parent.relative_to(self.local / "runs"))
            predictions[place] = records.read_arrays(path.with_name("predictions.npz"))
        return predictions
