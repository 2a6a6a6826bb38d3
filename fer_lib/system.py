"""Processes: those that must neither overlap nor outlive each other, by locks and lives that end with their owner,
however he ends, SIGKILL included; and how one tells another how far it is."""

import ctypes
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from .files import writing

PROGRESS = "FER_PROGRESS"
"""The environment variable that names the file in which a process tells how far it is."""
PROGRESS_EVERY = 0.5
"""Seconds between two words of it."""
_told = 0.0
PATIENCE = 10.0
"""Seconds for which a lock is asked for: what was killed a moment ago may still be ending."""


@contextmanager
def locked(path: Path, what: str, patience: float | None = None) -> Iterator[int]:
    """Hold a file's lock; gives its descriptor.

    The lock belongs to the open file, and goes when the last process that has it open ends. A child that is started
    with the descriptor (``pass_fds``) holds it too, and goes on holding it should this process be killed. Raises
    RuntimeError where another still holds it after ``patience`` seconds (None: ``PATIENCE``).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as file:
        deadline = time.monotonic() + (PATIENCE if patience is None else patience)
        while not _lock(file):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} is already under way (it holds {path}); wait for it or stop it")
            time.sleep(0.1)
        yield file.fileno()


def is_locked(path: Path) -> bool:
    """Whether some process holds a file's lock."""
    try:
        with open(path) as file:
            return not _lock(file)
    except OSError:
        return False


def _lock(file) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        found = f"{file.name}: found no locks on its file system ({error.strerror})"
        raise RuntimeError(f"{found}, expected flock; mount it with them, or put the checkout elsewhere") from error
    return True


def end_with(parent: int) -> None:
    """Let this process end as soon as ``parent``, the id of the process that started it, has ended.

    Linux sees to it, even where this process hangs; elsewhere a thread looks once a second.
    """
    if not ask_for_death_signal(parent):
        threading.Thread(target=_watch, args=[parent], daemon=True).start()


def ask_for_death_signal(parent: int) -> bool:
    """Ask Linux to send SIGKILL to this process when its parent ends; False on other systems. ``exec`` keeps it."""
    asked = _prctl is not None and _prctl(1, signal.SIGKILL) == 0  # 1: PR_SET_PDEATHSIG
    _end_without(parent)  # who ended before this sends no signal
    return asked


# Looked up here, not where it is called: that may be between fork and exec, where as little as possible should happen.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def _watch(parent: int) -> None:
    while True:
        _end_without(parent)
        time.sleep(1)


def _end_without(parent: int) -> None:
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def limit_threads(threads: int) -> None:
    """Let every process started from here on compute with so many CPU threads."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC"):  # NPROC: JAX
        os.environ[name] = str(threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"


@cache
def has_gpu() -> bool:
    """Whether an NVIDIA driver answers; where runs go to a cluster (``FER_CLUSTER``), whether its nodes have GPUs:
    Slurm is asked, of any other it is taken for granted."""
    cluster = os.environ.get("FER_CLUSTER", "")
    slurm = cluster == "slurm" or bool(cluster and shutil.which("sinfo"))
    if cluster and not slurm:
        return True
    command = ["sinfo", "--noheader", "--format", "%G"] if slurm else ["nvidia-smi", "-L"]
    try:
        answer = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError:
        return False
    return answer.returncode == 0 and (not slurm or "gpu" in answer.stdout)


def tell(text: str, now: bool = True) -> None:
    """Leave word of how far this process is, for the one that shows it (``notebooks.execute``); else nothing.

    Not ``now``: only where the last word is a while ago, so that it may be called as often as one likes.
    """
    global _told
    file = os.environ.get(PROGRESS)
    if file and (now or time.monotonic() - _told > PROGRESS_EVERY):
        with suppress(OSError):  # nobody's run fails for want of it
            writing.replace_text(Path(file), text)
        _told = time.monotonic()


def clock(seconds: float) -> str:
    """ "01:02:03": a duration; its hours go on beyond 24."""
    whole = max(0, round(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def file_hash(path: Path, name: str = "sha256") -> str:
    """Hexadecimal digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, name).hexdigest()
