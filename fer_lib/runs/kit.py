"""What a machine without network needs to make the missing runs, packed in pieces: code, packages, data, checkpoints.

``kit.sh``, which goes beside the pieces, unpacks them there, makes the runs, and packs their records to be taken home.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .. import data, paths, runs, system
from ..data import fer2013, ferplus
from ..evaluation import provenance
from ..files import arrays, nearest, reason, refused, writing
from ..models import weights
from . import Run, plan, transport

LOCK = "requirements-jax.lock"
"""The lock that the packages are taken from."""
EXTRAS = ("study", "jax")
"""The extras of pyproject.toml that runs on JAX need, beside what it always asks for."""
ONLY_FOR = {
    "beautifulsoup4": (), "nbconvert": (),  # reports
    "ai-edge-litert": ("3_train_clips", "3_train_groups", "6_live_conditions"),
    "av": ("3_train_clips", "3_train_groups", "6_live_conditions"),
    "onnxruntime": ("3_train_clips", "3_train_groups", "6_live_conditions"),
    "seaborn": ("4_first_steps",), "statsmodels": ("4_first_steps", "6_live_conditions"),
}  # fmt: skip
"""Those of these packages that few runs import, with the notebooks that do."""
MODULES = {
    "absl-py": "absl", "attrs": "attr", "beautifulsoup4": "bs4", "backports-strenum": "backports.strenum",
    "opencv-python-headless": "cv2", "pillow": "PIL", "python-dateutil": "dateutil", "pyyaml": "yaml", "pyzmq": "zmq",
    "scikit-learn": "sklearn",
}  # fmt: skip
"""What a package is imported as, where that is not its name."""
PLATFORMS = ["manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64"]
PLATFORMS += [f"manylinux_2_{libc}_x86_64" for libc in (5, 12, 17, 24, 26, 27, 28)]
"""The machines that the packages are for: Linux on x86-64, with the C library of 2018 or later."""
CODE = ("fer_lib", "notebooks", "experiments", "pyproject.toml", LOCK)
"""What of a checkout runs need."""
SCRIPT, SUMS, TAR, LIST = "kit.sh", "SHA256SUMS", "kit.tar", "runs.json"
AGAIN = "correct the option"


def make(
    out: Path,
    size: int = 50,
    profile: str = "full",
    seeds: int | None = None,
    only: str = "",
    python: str = "3.12",
    without: str = "",
) -> int:
    """Pack all that the missing runs of a profile need on a machine without network into a folder; returns 0.

    out: the folder; an older kit in it is replaced.
    size: of a piece at most, in megabytes (1e6 bytes).
    python: the version there; the packages are those of ``LOCK`` for it, on Linux and x86-64.
    without: packages, with commas between them, that the machine has and that are to be used with all they need.

    The runs are planned as for a GPU, on JAX, in the environment's ``PRECISION``. Experiments on data that no kit
    carries (``plan.MODULES``, but for FER+) are left out and named. Raises ValueError for a wrong option and where
    nothing is missing, RuntimeError where git or pip is lacking or fails, and what ``runs.check_data`` raises; nothing
    is left behind then, and an older kit stays.
    """
    _check_out(out)
    todo = _missing(profile, seeds, only)
    wheels, left = packages({run.experiment["notebook"] for run in todo}, python, without)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / "tree").mkdir(parents=True)
        _fill(partial / "tree", profile, todo, wheels, left, python, size)
        count, whole = _split(partial, size)
        shutil.copy(Path(__file__).with_name(SCRIPT), partial / SCRIPT)
        shutil.rmtree(out, ignore_errors=True)
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    words = f"{count} piece{'s' * (count > 1)} of at most {size} MB, {whole / 1e6:.1f} MB in all"
    print(f"{out}: {len(todo)} runs, {words}. Take the folder there, then: bash {SCRIPT} --minutes 8.5 --jobs 3")
    return 0


def _check_out(out: Path) -> None:
    """Raise ValueError where a kit would take the place of anything but an older one."""
    ours = rf"{re.escape(TAR)}\.\d+|{re.escape(SCRIPT)}|{SUMS}"
    if os.path.lexists(out) and (out.is_symlink() or not out.is_dir()):
        raise refused(out, paths.kind(out), "a folder, or nothing", "name another place")
    others = [each.name for each in out.iterdir() if not re.fullmatch(ours, each.name)] if out.is_dir() else []
    if others:
        raise refused(out, f"a folder with {others[0]!r}", "an empty one, or an older kit", "name another place")


def _missing(profile: str, seeds: int | None, only: str) -> list[Run]:
    """The runs that have no record here and can be made there; says how many, and what is left out."""
    plan.chosen(runs.experiments(), only)
    runs.check_data(profile)
    plan.finish_records(profile)
    wanted = plan.wanted(profile, seeds, only, "jax", gpu=True)
    carried = [run for run in wanted if run.parameters["data"] not in data.SUPPLIED or _is_ferplus(run)]
    todo = plan.missing(carried)
    for sentence in plan.by_reason(plan.not_here(profile, only, gpu=True)):
        print(f"Left out: {sentence}.", flush=True)
    if names := dict.fromkeys(run.name for run in wanted if run not in carried):
        print(f"Left out: {', '.join(names)}: no kit carries their data.", flush=True)
    if not todo:
        raise ValueError(f"found {len(carried)} runs of PROFILE={profile}, all made; expected a missing one")
    hours = sum(plan.hours(run, gpu=True) for run in todo)
    print(f"{profile}: {len(todo)} of {len(carried)} runs are missing, about {hours:.1f} hours of a GPU.", flush=True)
    return todo


def _is_ferplus(run: Run) -> bool:
    return run.parameters["data"] in ferplus.DATA


# ---- packages


def packages(of: Iterable[str], python: str, without: str = "") -> tuple[dict[str, str], list[str]]:
    """What the runs of these notebooks need of ``LOCK``, and what of it the machine is to have.

    The first: a line of a requirements file for each package, by its name. The second: the names in ``without``. What
    one of these needs is left out too: the machine has it, and no other version of it goes before. Raises ValueError
    for a name that is not in the lock, and for a Python that it does not serve.
    """
    if not re.fullmatch(r"3\.1[123]", python):
        raise refused("python", repr(python), "3.11, 3.12 or 3.13", AGAIN)
    lines, needs = _locked(python)
    left = [_normal(name) for name in filter(None, map(str.strip, without.split(",")))]
    for name in left:
        if name not in lines:
            raise refused("without", repr(name), nearest(name, lines) or f"packages of {LOCK}", AGAIN)
    there = _closure(left, needs)
    unused = {name for name, users in ONLY_FOR.items() if not set(users) & set(of)}
    wanted = _closure([name for name in _roots() if name not in unused and name in lines], needs, there)
    return {name: lines[name] for name in lines if name in wanted}, left


def _roots() -> list[str]:
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + sum((project["optional-dependencies"][extra] for extra in EXTRAS), [])
    return [_normal(re.match(r"[\w.-]+", each)[0]) for each in asked]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _closure(names: Iterable[str], needs: dict[str, set[str]], without: Iterable[str] = ()) -> set[str]:
    """These packages and all that they need, but for some and what only those need."""
    found, left = set(), list(names)
    while left:
        name = left.pop()
        if name not in found and name not in without:
            found.add(name)
            left += needs.get(name, ())
    return found


def _locked(python: str) -> tuple[dict[str, str], dict[str, set[str]]]:
    """The lock's packages for a Python on Linux: the requirement of each, with its checksums; and what each needs."""
    from packaging.markers import Marker

    there = {
        "python_version": python, "python_full_version": f"{python}.9", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "sys_platform": "linux", "platform_system": "Linux",
        "platform_machine": "x86_64", "os_name": "posix",
    }  # fmt: skip
    lines, needs = {}, {}
    # One entry: "name==version ; marker \", a line for each checksum, and comments that say what needs it.
    for entry in re.split(r"\n(?=[\w])", (paths.ROOT / LOCK).read_text()):
        match = re.match(r"(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\\n]+))?", entry)
        if match and (not match["marker"] or Marker(match["marker"].strip()).evaluate(there)):
            name = _normal(match["name"])
            lines[name] = " ".join([f"{name}=={match['version']}", *re.findall(r"--hash=\S+", entry)])
            for user in re.findall(r"^    #   (?:via )?([\w.-]+)$|^    # via ([\w.-]+)$", entry, re.MULTILINE):
                needs.setdefault(_normal("".join(user)), set()).add(name)
    return lines, needs


def _fetch(wheels: dict[str, str], folder: Path, python: str) -> None:
    """Let pip fetch the wheels, each checked against the lock, for the other machine's Python."""
    listed = folder / "requirements.txt"
    writing.replace_text(listed, "".join(f"{line}\n" for line in wheels.values()))
    command = [_pip(), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "--implementation", "cp", "--python-version", python]
    command += [f"--platform={platform}" for platform in reversed(PLATFORMS)]
    done = subprocess.run([*command, "--dest", folder, "-r", listed], capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr]
        raise RuntimeError(
            f"pip download: found {reason(said[0])}, expected a wheel of each package in {LOCK} for Python {python}; "
            "connect this machine to a package index, or leave the package out (--without)"
        )


def _pip() -> str:
    """A Python with pip: this one, the one that it was made from, or the system's; uv's environments have none."""
    for python in (sys.executable, sys._base_executable, shutil.which("python3")):
        if python and not subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode:
            return python
    raise RuntimeError(f"pip: found none in {sys.executable}, expected it to fetch packages; install python3-pip")


# ---- what goes in


def _fill(tree: Path, profile: str, todo: list[Run], wheels: dict, left: list[str], python: str, size: int) -> None:
    """Put the project as it is to stand on the other machine into a folder, with ``wheels/`` and ``settings.sh``."""
    code = provenance.git("ls-files", "--cached", "--others", "--exclude-standard", "--", *CODE)
    if not code:
        raise RuntimeError(f"{paths.ROOT}: found no git checkout, expected one, whose files are packed; clone it")
    for name in code.split("\n"):
        if (paths.ROOT / name).is_file():  # else it was deleted, and git not told
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(paths.ROOT / name, tree / name)
    (tree / "data").mkdir()
    if profile != "smoke":
        _pack_faces(tree / "data" / "fer2013.npz")
    if any(map(_is_ferplus, todo)):
        shutil.copy(ferplus.find(), tree / "data" / ferplus.NAME)
    for model in {run.parameters["model"] for run in todo if run.parameters.get("weights")}:
        (tree / "data" / "weights").mkdir(exist_ok=True)
        shutil.copy(weights.find(model), tree / "data" / "weights")
    writing.replace_text(tree / LIST, plan.to_list(profile, todo))
    if begun := transport.export_checkpoints(tree / "checkpoints.tar", todo):
        print(f"Checkpoints of {begun} unfinished runs go along.", flush=True)
    made = provenance.code()
    if made["dirty"]:
        print("Warning: uncommitted changes go along, and the records will say so.", flush=True)
    settings = {
        "python_version": python,
        "profile": profile,
        "piece": str(size * 10**6),
        "left_out": " ".join(left),
        "modules": " ".join(
            MODULES.get(name, name.replace("-", "_")) for name in [*left, *wheels] if name in _top(left)
        ),
    }
    exported = {
        "FER_COMMIT": made["commit"] or "",
        "FER_DIRTY": str(int(bool(made["dirty"]))),
        "FER_LOCK": LOCK,
        "KERAS_BACKEND": "jax",
        "PRECISION": os.environ.get("PRECISION", ""),
    }
    lines = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in exported.items()]
    writing.replace_text(tree / "settings.sh", "\n".join(lines) + "\n")
    print(f"Fetching {len(wheels)} packages for Python {python} ...", flush=True)
    (tree / "wheels").mkdir()
    _fetch(wheels, tree / "wheels", python)


def _top(left: list[str]) -> set[str]:
    """What is imported on the other machine to see whether it works: what the study asks for, and what it has."""
    return {*_roots(), *left}


def _pack_faces(path: Path) -> None:
    """FER2013 as ``fer2013.load`` reads it: the same arrays, so the same data, in a fifth of the bytes of the table."""
    faces = fer2013.load(whole=True)
    named = {"pixels": faces.images, "emotion": faces.labels, "usage": faces.split}
    arrays.write_npz(path, {name: np.ascontiguousarray(array) for name, array in named.items()})


def _split(folder: Path, size: int) -> tuple[int, int]:
    """Turn ``tree`` of a folder into pieces of a tar of at most ``size`` MB and their checksums.

    Returns how many pieces, and how many bytes they have. Raises ValueError for more than 1000 pieces.
    """
    tree, lines, total = folder / "tree", [], 0
    with tempfile.TemporaryFile(dir=folder) as file:
        with tarfile.open(fileobj=file, mode="w|") as tar:
            for name in sorted(each.name for each in tree.iterdir()):
                tar.add(tree / name, name, filter=transport.without_owner)
        shutil.rmtree(tree)
        total = file.tell()
        if total > 1000 * size * 10**6:
            raise refused("size", f"{size} MB, for {total / 1e6:.0f} MB", "1000 pieces at most", AGAIN)
        file.seek(0)
        while content := file.read(size * 10**6):
            piece = folder / f"{TAR}.{len(lines):03d}"
            piece.write_bytes(content)
            lines.append(f"{system.file_hash(piece)}  {piece.name}\n")
    writing.replace_text(folder / SUMS, "".join(lines))
    return len(lines), total
