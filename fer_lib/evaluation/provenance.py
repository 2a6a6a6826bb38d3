"""Where a record's numbers come from: code, commit, lock file and versions, and whether the code changed since."""

import ast
import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from .. import paths, system

WATCHED = (
    "training/loop.py", "training/batches.py", "training/losses.py", "training/optimizers.py",
    "training/augmentation.py", "training/backends.py", "training/protocol.py", "training/tree.py",
    "models", "evaluation/metrics.py", "evaluation/views.py", "data/audit.py",
)  # fmt: skip
"""Files and folders that can change a run's numbers."""
WATCHED_BY_SWEEPS = (*WATCHED, "training/first_steps.py")
"""Those that can change a sweep's numbers."""
WATCHED_BY_SURVEYS = (
    "live/survey.py",
    "live/blaze.py",
    "live/boxes.py",
    "live/detectors.py",
    "live/inference.py",
)
"""Those that can change a survey's numbers, besides the live model."""
FORMERLY = {name: (name.rpartition("/")[2],) for name in WATCHED_BY_SWEEPS} | {
    "training/loop.py": ("training.py",),
    "training/tree.py": ("trees.py",),
    "models": ("converters.py", "torch_files.py"),
    "live/survey.py": ("live_conditions.py",),
}
"""Their former paths. Changes there, after a record was made and before the move, count too."""
WATCHED_SINCE = {
    "data/audit.py": "aedb13ab7ce5",
    "live/survey.py": "7d3296fd4424",
    "live/detectors.py": "7d3296fd4424",
}
"""Files with the commit up to which they were checked by hand. The audit was added to the watched files late: today's
clean rows give every older record the scores that it has. The survey and its detectors changed (a function moved,
OpenCV's cascades became optional) in a commit without a "Same numbers" line: faces of each level, predicted again, are
as recorded."""
NOT_WATCHED = ("models/architectures.py", "models/weights.py")
"""Files in watched folders that change no number: the list of a network's layers, and the download of weights."""

PACKAGES = ("keras", "tensorflow", "jax", "numpy", "scikit-learn")


def code() -> dict:
    """Commit and dirty flag of the running code; ``FER_COMMIT`` (and ``FER_DIRTY=1``) replace git where there is
    none."""
    if commit := os.environ.get("FER_COMMIT"):
        return {"commit": commit, "dirty": os.environ.get("FER_DIRTY") == "1"}
    commit = git("rev-parse", "HEAD")
    status = git("status", "--porcelain", "--", "fer_lib", "notebooks", "experiments")
    return {"commit": commit, "dirty": bool(status) if commit else None}


def git(*arguments: str) -> str | None:
    """What a git command prints about this checkout; None if it fails or there is no git."""
    try:
        done = subprocess.run(
            ["git", "-C", paths.ROOT, *arguments],
            capture_output=True, check=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def lock_hash() -> str | None:
    """SHA-256 of the lock file that this environment was made from (``FER_LOCK``, set by the Makefile)."""
    lock = paths.ROOT / (os.environ.get("FER_LOCK") or "requirements.lock")
    return system.file_hash(lock) if lock.is_file() else None


def versions() -> dict:
    """Versions of Python and of the packages that can change a number."""
    result = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            result[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return result


def stale(record: dict) -> list[str]:
    """Why a record's numbers may differ from what today's code would give; empty if there is no reason.

    These are only flags: a record is run again because of its parameters or data, not because of a commit. Comments and
    docstrings do not count, nor does a commit whose message has a line "Same numbers: how that was checked". Data sets
    are checked by their hash. Checkpoints are not watched: a resumed run equals an uninterrupted one.
    """
    commit = record["code"]["commit"]
    reasons = ["ran from uncommitted changes"] if record["code"]["dirty"] else []
    if not commit or not _has_history(paths.ROOT):
        return reasons
    if not _is_known(commit, paths.ROOT):
        return [*reasons, f"its commit {commit[:9]} is not in this history"]
    surveys = "conditions" in record
    ships = paths.ROOT / "fer_lib" / "live" / "model.onnx"
    if surveys and not (ships.exists() and record["network_sha256"] == system.file_hash(ships)):
        reasons.append("another network ships now")
    watched = WATCHED_BY_SURVEYS if surveys else WATCHED_BY_SWEEPS if "sweep" in record else WATCHED
    changed = ", ".join(_changed_since(commit, watched))
    return [*reasons, f"changed since: {changed}"] if changed else reasons


@cache
def _has_history(root: Path) -> bool:
    """Whether the project, at this place, is in git: asked once, not for each record."""
    return bool(git("rev-parse", "--git-dir"))


@cache
def _is_known(commit: str, root: Path) -> bool:
    return git("cat-file", "-e", commit) is not None


@cache
def _changed_since(commit: str, names: tuple[str, ...]) -> list[str]:
    """Which of these files changed their meaning after a commit, except in commits with a "Same numbers" line."""
    changed = set()
    for since in {None, *WATCHED_SINCE.values()}:
        alike = [name for name in names if WATCHED_SINCE.get(name) == since]
        if not alike:
            continue
        watched = [f"fer_lib/{place}" for name in alike for place in (name, *FORMERLY.get(name, ()))]
        watched += [f":(exclude)fer_lib/{name}" for name in NOT_WATCHED]
        seen = [f"^{since}"] if since and git("cat-file", "-e", since) is not None else []
        log = ["log", "--format=%H", "--no-merges", "--invert-grep", "--grep=^Same numbers:", f"{commit}..HEAD", *seen]
        for after in [*git(*log, "--", *watched).split(), None]:  # None: uncommitted changes
            before = f"{after}^" if after else "HEAD"
            differing = git("diff", "--name-only", "--relative", before, *filter(None, [after]), "--", *watched)
            for name in differing.split("\n") if differing else []:
                now = git("show", f"{after}:{name}") if after else _text(name)
                if _meaning(git("show", f"{before}:{name}"), name) != _meaning(now, name):
                    changed.add(name)
    return sorted(changed)


def _text(name: str) -> str | None:
    path = paths.ROOT / name
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


def _meaning(source: str | None, name: str) -> str | None:
    """A module's syntax tree without docstrings; of any other file, the whole text."""
    if source is None or not name.endswith(".py"):
        return source and source.strip()  # as ``git`` gives it
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [
                part for part in body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ]
    return ast.dump(tree)
