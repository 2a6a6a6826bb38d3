"""The one door to ``results/``: a run's record is written whole or not at all, and read only when it is whole.

A record is a folder ``runs/<study>/<name>/<backend>-seed<k>/`` with ``predictions.npz`` (``ids`` int32, ``labels`` and
``split`` uint8, and for each kept epoch E, "last", "best" or "milestone", ``probabilities_E`` (m, 7) float16 and
``classes_E`` uint8, the argmax before rounding), ``metrics.json``, which is written last, by rename, and holds the
SHA-256 of the predictions, and ``run.ipynb``, the executed notebook.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import time
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np

from . import audit, metrics, paths
from .datasets import SPLITS, Faces
from .protocol import Protocol

SCHEMA = 1
WATCHED = ("training.py", "augmentation.py", "backends.py", "protocol.py", "models", "metrics.py", "trees.py")
"""Modules that can move a run's numbers."""
PACKAGES = ("keras", "tensorflow", "jax", "numpy", "scikit-learn")


def label(backend: str, precision: str = "float32") -> str:
    """What computed, as the folder's name has it: runs of different backends or precisions never mix."""
    return backend if precision == "float32" else f"{backend}-{precision}"


def file_hash(path: Path, name: str = "sha256") -> str:
    """Hexadecimal digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, name).hexdigest()


def assemble(
    *,
    experiment: str,
    title: str,
    profile: str,
    parameters: dict,
    faces: Faces,
    evaluated: Faces,
    kept: dict[str, dict],
    backend: str,
    device: dict,
    seconds: float,
    history: list[dict] = (),
    parameter_count: int = 0,
) -> tuple[dict, dict[str, np.ndarray]]:
    """Score a run: its record, and the arrays of its predictions, as ``write`` wants them.

    ``kept`` maps "last" (and "best") to ``{"epoch": int}`` with ``"logits"`` (m, 7) float32, or with
    ``"probabilities"`` where a model has no logits; rows in the order of ``evaluated``, ids ascending. ``faces`` is the
    whole data set.
    """
    is_clean = audit.clean_rows(faces)[np.searchsorted(faces.ids, evaluated.ids)]
    arrays = {"ids": evaluated.ids.astype(np.int32), "labels": evaluated.labels, "split": evaluated.split}
    scores = {}
    for name, reading in kept.items():
        losses, p = None, reading.get("probabilities")
        if p is None:
            p = metrics.probabilities(reading["logits"])
            losses = metrics.cross_entropy(reading["logits"], evaluated.labels, parameters["loss"])
        classes = p.argmax(axis=1).astype(np.uint8)
        arrays |= {f"probabilities_{name}": p.astype(np.float16), f"classes_{name}": classes}
        if (evaluated.split == 0).any():  # a random split holds out rows of all three
            scored = {"held out": metrics.score(classes, evaluated.labels, losses)}
        else:
            scored = metrics.score_splits(classes, evaluated.labels, evaluated.split, is_clean, losses)
        scores[name] = {"epoch": reading["epoch"], **scored}
    record = {
        "schema": SCHEMA,
        "experiment": experiment,
        "title": title,
        "backend": backend,
        "precision": parameters.get("precision", "float32"),
        "seed": parameters["seed"],
        "profile": profile,
        "parameters": parameters,
        "data": {
            "name": faces.name,
            "sha256": faces.sha256,
            "rows": {name: int((faces.split == code).sum()) for code, name in enumerate(SPLITS)},
            "source": faces.source,
        },
        "metrics": scores,
        "history": list(history),
        "code": code(),
        "lock_sha256": lock_hash(),
        "versions": versions(),
        "device": device,
        "seconds": round(seconds, 2),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "parameter_count": parameter_count,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return record, arrays


def write(folder: Path, record: dict, arrays: dict[str, np.ndarray]) -> None:
    """Keep a record: the predictions first, then, by renaming, the metrics that hold their checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "predictions.partial.npz"
    np.savez_compressed(partial, **arrays)
    checksum = file_hash(partial)
    os.replace(partial, folder / "predictions.npz")
    partial = folder / "metrics.json.partial"
    partial.write_text(json.dumps(record | {"predictions_sha256": checksum}, indent=1) + "\n")
    os.replace(partial, folder / "metrics.json")


def summary(record: dict) -> str:
    """A record's scores as a Markdown table."""
    lines = ["| reading | rows | n | accuracy | loss |", "|---|---|--:|--:|--:|"]
    for kept, reading in record["metrics"].items():
        for name, scored in reading.items():
            if name != "epoch":
                loss = f"{scored['loss']:.4f}" if "loss" in scored else ""
                numbers = f"{scored['n']:,} | {scored['accuracy']:.2%} | {loss}"
                lines.append(f"| {kept} epoch ({reading['epoch']}) | {name} | {numbers} |")
    return "\n".join(lines)


def code() -> dict:
    """Commit and dirty flag of the code that runs; ``FER_COMMIT`` (and ``FER_DIRTY=1``) where there is no git."""
    if commit := os.environ.get("FER_COMMIT"):
        return {"commit": commit, "dirty": os.environ.get("FER_DIRTY") == "1"}
    commit = git("rev-parse", "HEAD")
    status = git("status", "--porcelain", "--", "fer_lib", "notebooks", "experiments")
    return {"commit": commit, "dirty": bool(status) if commit else None}


def git(*arguments: str) -> str | None:
    """What a git command prints about this checkout; None where git or the repository is absent."""
    try:
        done = subprocess.run(["git", "-C", paths.ROOT, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def lock_hash() -> str | None:
    """SHA-256 of the lock file that this environment was made from (``FER_LOCK``, set by the Makefile)."""
    lock = paths.ROOT / os.environ.get("FER_LOCK", "requirements.lock")
    return file_hash(lock) if lock.exists() else None


def versions() -> dict:
    """Python's version and those of the packages that can change a number."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def read(folder: Path) -> dict:
    """Read one record, with its ``folder`` added; parameters that came up after it was made stand at their defaults.

    Raises ValueError naming the file where it is no record, or where the predictions are not the ones it was written
    for.
    """
    path = folder / "metrics.json"
    try:
        record = json.loads(path.read_text())
        found = record["schema"], record["predictions_sha256"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        message = f"{path}: no record ({error!r}); expected schema {SCHEMA}; delete the folder to run it again"
        raise ValueError(message) from None
    if found[0] != SCHEMA:
        raise ValueError(f"{path}: found schema {found[0]}, expected {SCHEMA}; run it again with this version")
    predictions = folder / "predictions.npz"
    actual = file_hash(predictions) if predictions.exists() else "no file"
    if actual != found[1]:
        raise ValueError(
            f"{predictions}: found SHA-256 {actual}, expected {found[1]} from metrics.json; "
            "restore it from git, or delete the folder to run it again"
        )
    if "model" in record["parameters"]:  # a tree has parameters of its own
        record["parameters"] = asdict(Protocol()) | record["parameters"]
    return record | {"folder": folder}


def load(results: Path) -> list[dict]:
    """All records below a results folder, ordered by experiment, backend, precision and seed."""
    found = [read(path.parent) for path in (results / "runs").glob("*/*/*/metrics.json")]
    return sorted(found, key=lambda r: (r["experiment"], r["backend"], r["precision"], r["seed"]))


def predictions(record: dict) -> dict[str, np.ndarray]:
    """The arrays of a record's predictions."""
    with np.load(record["folder"] / "predictions.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def is_current(folder: Path, parameters: dict, data_sha256: str) -> bool:
    """Whether a folder holds a whole record of these parameters on this data. A broken record is not current."""
    if not (folder / "metrics.json").exists():
        return False
    try:
        record = read(folder)
    except ValueError:
        return False
    return record["parameters"] == parameters and record["data"]["sha256"] == data_sha256


def stale(record: dict) -> list[str]:
    """Why a record's numbers may differ from what today's code would give; empty where nothing says so.

    Only flags: what makes a record worth running again is its parameters and data, not a commit. Comments and
    docstrings count for nothing, nor does a commit whose message has a line "Same numbers: how that was checked". Data
    sets are watched by the data's hash; checkpoints are not watched: a resumed run equals an unbroken one.
    """
    commit = record["code"]["commit"]
    reasons = ["ran from uncommitted changes"] if record["code"]["dirty"] else []
    if not commit or not git("rev-parse", "--git-dir"):
        return reasons
    if git("cat-file", "-e", commit) is None:
        return [*reasons, f"its commit {commit[:9]} is not in this history"]
    changed = ", ".join(_changed_since(commit))
    return [*reasons, f"changed since: {changed}"] if changed else reasons


@lru_cache
def _changed_since(commit: str) -> list[str]:
    """Modules that can move a number and changed their meaning after a commit, commits that say otherwise aside."""
    watched = [f"fer_lib/{name}" for name in WATCHED]
    log = ["log", "--format=%H", "--no-merges", "--invert-grep", "--grep=^Same numbers:", f"{commit}..HEAD"]
    changed = set()
    for after in [*git(*log, "--", *watched).split(), None]:  # None: what is not committed yet
        before = f"{after}^" if after else "HEAD"
        names = git("diff", "--name-only", "--relative", before, *filter(None, [after]), "--", *watched).split()
        for name in names:
            now = git("show", f"{after}:{name}") if after else _text(name)
            if _meaning(git("show", f"{before}:{name}")) != _meaning(now):
                changed.add(name)
    return sorted(changed)


def _text(name: str) -> str | None:
    path = paths.ROOT / name
    return path.read_text() if path.exists() else None


def _meaning(source: str | None) -> str | None:
    """A module without what does not run: its syntax tree, docstrings taken out."""
    if source is None:
        return None
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [
                part for part in body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ]
    return ast.dump(tree)


def cpu() -> dict:
    """The processor as a record's device: ``kind`` "cpu", ``name``, ``threads`` (``OMP_NUM_THREADS``, else all)."""
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return {"kind": "cpu", "name": name, "threads": int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)}
