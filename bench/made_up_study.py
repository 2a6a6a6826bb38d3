"""A copy of the project with as many records as one likes: made up, but of the form and the size of real ones.

Every record is current: it has its experiment's parameters and the hash of the official data, so nothing is to be made.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np

from fer_lib import paths, runs
from fer_lib.data import SPLITS, Faces, audit
from fer_lib.evaluation import metrics, provenance, records
from fer_lib.runs import Run

VARIANTS = 8
"""Networks whose predictions are made; the runs of an experiment take them in turn."""
DIAGNOSTICS = ("ours/cause_first_steps_feedforward", "ours/live_conditions")
"""Experiments whose committed records stay, so that the pages have all their parts."""


def scored() -> list[str]:
    """The experiments that score networks or trees on FER2013 and need nothing else."""
    return [
        name
        for name, experiment in runs.experiments().items()
        if experiment.get("notebook") in ("2_decision_tree", "3_train_network")
        and experiment["parameters"]["data"] == "fer2013"
        and not experiment["parameters"].get("weights")
    ]


def copy(folder: Path, source: Path = paths.ROOT) -> None:
    """The project with its history, but of its results only what a report reads beside the records, and two of these.

    Where there is no git, the copy has none either.
    """
    clone = ["git", "clone", "--quiet", "--shared", "--no-checkout", str(source), str(folder)]
    if subprocess.run(clone, check=False, capture_output=True).returncode:
        folder.mkdir(parents=True)
    for name in ("fer_lib", "notebooks", "experiments", "claims", "profiles", "docs", "Snakefile", "README.md",
                 "CITATION.cff",
                 "requirements.lock", "results/audit", "results/architectures.json",
                 *(f"results/runs/{name}" for name in DIAGNOSTICS)):  # fmt: skip
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (source / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, folder / name)


class Maker:
    """Writes records of a data set's runs; what is expensive is made once for each kind of record."""

    def __init__(self, faces: Faces):
        self.faces, self.kinds = faces, {}
        test = faces.rows("PublicTest+PrivateTest")
        rng = np.random.default_rng(0)
        self.base = rng.normal(size=(len(faces), 7), scale=1.4) + 2.2 * np.eye(7)[faces.labels]
        self.rows = {False: test, True: np.sort(rng.permutation(len(faces))[: len(test)])}
        self.clean = audit.clean_rows(faces)
        self.commit = provenance.code()

    def _kind(self, kept: tuple[str, ...], held_out: bool, variant: int) -> tuple[dict, bytes]:
        """Scores and packed predictions of one variant: made once, by the project's own code."""
        key = kept, held_out, variant
        if key not in self.kinds:
            rows, arrays, scores = self.rows[held_out], {}, {}
            faces = self.faces.select(rows)
            arrays |= {"ids": faces.ids.astype(np.int32), "labels": faces.labels, "split": faces.split}
            for place, name in enumerate(kept):
                rng = np.random.default_rng([variant, place])
                noise = rng.normal(size=(len(rows), 7), scale=0.6)
                sure = 6 if variant % 2 else 1  # half of the networks are overconfident, and pack smaller
                p = metrics.probabilities(sure * (self.base[rows] + noise))
                classes = p.argmax(axis=1).astype(np.uint8)
                arrays |= {f"probabilities_{name}": p.astype(np.float16), f"classes_{name}": classes}
                if held_out:
                    scores[name] = {"held out": metrics.score(classes, faces.labels)}
                else:
                    scores[name] = metrics.score_splits(classes, faces.labels, faces.split, self.clean[rows])
            self.kinds[key] = scores, records.packed_bytes(arrays)
        return self.kinds[key]

    def write(self, run: Run, milestone: bool = False) -> None:
        """Write a run's record. No two have the same predictions file: each has its own name in it."""
        parameters = run.parameters
        network = "model" in parameters
        kept = ("last", *(("best",) if network else ()), *(("views",) if parameters.get("views") else ()))
        kept += ("milestone",) if milestone else ()
        variant = (sum(map(ord, run.name)) + run.seed) % VARIANTS
        scores, content = self._kind(kept, bool(parameters.get("random_split")), variant)
        epochs = parameters["epochs"] if network else 1
        packed = io.BytesIO(content)
        with zipfile.ZipFile(packed, "a") as archive:
            archive.comment = str(run).encode()
        predictions = packed.getvalue()
        epoch = {"last": epochs, "best": max(1, epochs - 2), "views": epochs, "milestone": min(10, epochs)}
        record = {
            "schema": records.SCHEMA,
            "experiment": run.name,
            "title": run.experiment["title"],
            "backend": run.backend,
            "precision": parameters.get("precision", "float32"),
            "seed": run.seed,
            "profile": run.profile,
            "parameters": parameters,
            "data": {
                "name": self.faces.name,
                "sha256": self.faces.sha256,
                "rows": {name: int((self.faces.split == code).sum()) for code, name in enumerate(SPLITS)},
                "emotions": list(self.faces.emotions),
                "source": self.faces.source,
            },
            "metrics": {name: {"epoch": epoch[name], **of} for name, of in scores.items()},
            "history": self._history(epochs, run.seed) if network else [],
            "code": self.commit,
            "lock_sha256": "5ca1ab1e" * 8,
            "versions": {"python": "3.11.7", "keras": "3.15.1", "tensorflow": "2.21.0", "numpy": "2.4.6"},
            "device": {"kind": "cpu", "name": "made up", "threads": 2},
            "seconds": 90.0 + run.seed,
            "peak_memory_bytes": 1_000_000_000,
            "parameter_count": 1_446_407 if network else 0,
            "finished": "2026-01-01T00:00:00Z",
            "predictions_sha256": hashlib.sha256(predictions).hexdigest(),
        }
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / "predictions.npz").write_bytes(predictions)
        (run.folder / "metrics.json").write_text(json.dumps(record, indent=1) + "\n")

    @staticmethod
    def _history(epochs: int, seed: int) -> list[dict]:
        """As of a network that learns; as long as a real one's, to the digits."""
        draw = np.random.default_rng(seed).normal(scale=0.005, size=(epochs, 5)).tolist()
        lines = []
        for number, noise in enumerate(draw, 1):
            learned = 0.65 - 0.4 / number
            line = {"epoch": number, "accuracy": learned + noise[0], "loss": 2 - learned + noise[1]}
            line |= {"penalty": 0.0, "learning_rate": 0.0010000000474974513}
            for place, rows in enumerate(("PublicTest", "PrivateTest", "PublicTest+PrivateTest"), 2):
                line |= {f"{rows}_loss": 2 - learned + noise[place], f"{rows}_accuracy": learned - 0.05 + noise[place]}
            line |= {"watched_loss": line["PublicTest_loss"], "seconds": 12.137680977999935 + noise[0]}
            lines.append(line | {"training_seconds": line["seconds"] / 2})
        return lines


def fill(faces: Faces, names: list[str], seeds: range) -> None:
    """Write the records of these seeds of these experiments where ``paths`` says."""
    maker, known = Maker(faces), runs.experiments()
    read_off = {experiment.get("milestone_of") for experiment in known.values()}
    for name in names:
        for seed in seeds:
            maker.write(runs.from_experiment(name, known[name], seed, "full"), name in read_off)
