"""A copy of the project with a few small experiments, for tests that start whole studies."""

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
