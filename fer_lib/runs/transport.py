"""Records and checkpoints on their way from one machine to another: a tar out, a tar in, everything in it checked."""

import errno
import io
import os
import re
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from .. import paths, runs, system
from ..evaluation import records
from ..files import archives, documents, readable, reason, refused, writing
from . import plan

SUMS = "SHA256SUMS"
"""The tar's first member: the checksum of every other one, as ``sha256sum`` writes and checks them."""
OURS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.EMFILE)
"""What the system says of this machine's disk, not of what an archive holds."""
AGAIN = "pack it again where it was made"
OTHER = "check out the commit that made it, or make the run again here"

_PLACE = r"(?P<place>(?P<name>\w[\w.-]*/\w[\w.-]*)/(?P<backend>[a-z]+)(?:-(?P<precision>\w+))?-seed(?P<seed>\d+))"
_RECORD = rf"(?:local/(?P<profile>\w+)/)?runs/{_PLACE}"
_PART = r"checkpoint-(?P<part>[a-z]+(?:-\d+)?)/"  # of a run of several networks: a fold's, the scene's
_CHECKPOINT = rf"(?:local/(?P<profile>\w+)/)?unfinished/{_PLACE}/(?:{_PART})?checkpoint-(?P<epoch>\d+)"
_FILES = {
    _RECORD: "|".join(map(re.escape, [*records.FILES, records.NETWORK])),
    _CHECKPOINT: r"\w[\w.]*\.(?:json|npz|h5)",
}
"""The folders, named from ``results/`` on, that may travel, and their files."""


def export_records(out: Path, profile: str = "full", only: str = "", checkpoints: bool = False) -> int:
    """Write the whole records of a profile, and the ``checkpoints`` of unfinished runs, into a tar.

    Names in it are relative to ``results/``. Returns 1 where something was left out, which it prints, else 0.
    """
    return _pack(out, _folders(profile, only, checkpoints))


def export_checkpoints(out: Path, of: list[runs.Run]) -> int:
    """Write the checkpoints of these runs into a tar, as ``export_records`` does; returns how many runs have some.

    Where none has, no file is written.
    """
    folders = [each for run in of for each in _checkpoints(run.unfinished)]
    if folders:
        _pack(out, folders)
    return len({run.place for run in of if next(_checkpoints(run.unfinished), None)})


def _pack(out: Path, folders: Iterable[tuple[Path, str]]) -> int:
    """Write what is in these folders into a tar, each given with what is wrong with it, and tell what goes in."""
    files, code = [], 0
    for folder, problem in folders:
        print(f"{'left out' if problem else 'packed':<9}  {folder.relative_to(paths.RESULTS)}{problem}")
        code |= bool(problem)
        files += [] if problem else sorted(path for path in folder.iterdir() if path.is_file() and _travels(path))
    names = {path.relative_to(paths.RESULTS).as_posix(): path for path in files}
    names = {name: path for name, path in names.items() if _folder_of(name)}  # what ``import_records`` takes
    sums = "".join(f"{system.file_hash(path)}  {name}\n" for name, path in names.items()).encode()
    with writing.replacing(out) as file, tarfile.open(fileobj=file, mode="w|") as tar:
        head = tarfile.TarInfo(SUMS)
        head.size = len(sums)
        tar.addfile(head, io.BytesIO(sums))
        for name, path in names.items():
            tar.add(path, name, recursive=False, filter=without_owner)
    print(f"{out}: {len(names)} files, {sum(path.stat().st_size for path in names.values()) / 1e6:.1f} MB.")
    return code


def _folders(profile: str, only: str, checkpoints: bool) -> Iterator[tuple[Path, str]]:
    """The folders to pack, each with what is wrong with it ("": nothing)."""
    top, known = paths.results_folder(profile), runs.experiments()
    names = plan.chosen(known, only)
    plan.finish_records(profile)
    for path in sorted((top / "runs").glob("*/*/*/metrics.json")):
        name = path.parent.relative_to(top / "runs").parent.as_posix()
        if name not in known:
            yield path.parent, ": no experiment has this name"
        elif name in names:
            try:
                records.check(records.read(path.parent))
                needed = [name for name in records.FILES if _travels(path.parent / name)]
                absent = [name for name in needed if not (path.parent / name).exists()]
                yield path.parent, f": it lacks {', '.join(absent)}" if absent else ""
            except Exception as error:  # as in ``import_records``
                yield path.parent, f": {_in_words(error)}"
    for place in sorted((top / "unfinished").glob("*/*/*/")) if checkpoints else []:
        if place.relative_to(top / "unfinished").parent.as_posix() in names:
            yield from _checkpoints(place)


def _checkpoints(place: Path) -> Iterator[tuple[Path, str]]:
    """The checkpoints of an unfinished run, those of each of its networks if it has several; as ``_folders``."""
    problem = ": its run is under way" if system.is_locked(place.with_name(f"{place.name}.lock")) else ""
    for pattern in ("checkpoint-*/state.json", "checkpoint-*/checkpoint-*/state.json"):
        for path in sorted(place.glob(pattern)):
            yield path.parent, problem


def _travels(path: Path) -> bool:
    """Whether a record's file is packed: all but the executed notebooks that git would not take either."""
    return path.name != "run.ipynb" or records.keeps_notebook(int(path.parent.name.rpartition("-seed")[2]))


def without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A tar's member without the name of whoever packed it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def import_records(archive: Path, force: bool = False) -> int:
    """Put what ``export_records`` packed in place, each record and checkpoint for itself, after checking it.

    What fails a check is refused with its reason, and the rest still goes in. A record that stands here with other
    predictions is replaced only with ``force``. Returns 1 where something was refused, else 0. Raises FileNotFoundError
    where there is no such file, OSError where this machine cannot take more, such as a full disk: what was taken until
    then stays.
    """
    if not archive.is_file():
        found = "a folder" if archive.is_dir() else "no regular file" if archive.exists() else "no such file"
        expected = "a tar that `.venv/bin/fer export` made"
        raise FileNotFoundError(f"{archive}: found {found}, expected {expected}; correct the path")
    folder = paths.RESULTS / "local" / "import"
    with system.locked(folder.with_suffix(".lock"), "an import"):
        shutil.rmtree(folder, ignore_errors=True)  # of an import that was killed
        folders, problems = _unpack(archive, folder)
        taken, here, stopped = [], [], None
        for name in sorted(folders):
            take = _take_checkpoint if "/checkpoint-" in name else _take_record
            try:
                (taken if take(folder / name, name, force) else here).append(name)
            except Exception as error:  # what is nested in JSON may be anything
                if isinstance(error, OSError) and error.errno in OURS:
                    stopped = error
                    break
                problems[name] = _in_words(error).replace(f"{folder}/", "")
        shutil.rmtree(folder, ignore_errors=True)
    for state, names in {"taken": taken, "already here": here}.items():
        for name in names:
            print(f"{state:<12}  {name}")
    for name, why in problems.items():
        print(readable(f"refused       {name}: {why}"))
    left = f", {len(folders) - len(taken) - len(here) - len(problems)} left" if stopped else ""
    print(f"{archive}: {len(taken)} taken, {len(here)} already here, {len(problems)} refused{left}.")
    if stopped:
        raise stopped
    return 1 if problems else 0


def _in_words(error: Exception) -> str:
    """Why something is left out: our own errors say it, others come of content of another form."""
    own = isinstance(error, ValueError | OSError | RuntimeError)
    if own:
        return str(error)
    found = f"found content of another form ({type(error).__name__}: {reason(error)})"
    return f"{found}, expected what a run writes; {AGAIN}"


def _unpack(archive: Path, folder: Path) -> tuple[set[str], dict[str, str]]:
    """Unpack what has a known name and its listed checksum; the folders that are whole, and what was refused and why.

    Only plain files are read, and written by name: no link, device, absolute or climbing name comes this far.
    """
    listed, good, problems = {}, set(), {}

    def refuse(name: str, why: str) -> None:
        problems.setdefault(_folder_of(name) or name, why)

    with archives.unpacking(archive) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    if member.isreg() and member.name == SUMS:
                        listed = _read_sums(tar.extractfile(member).read(2**27))
                    elif not member.isreg() or member.issparse() or not _folder_of(member.name):
                        refuse(member.name, f"found no file of a record or checkpoint, expected one; {AGAIN}")
                    elif member.name not in listed:
                        refuse(member.name, f"found it not listed in a {SUMS} before it, expected each file; {AGAIN}")
                    else:
                        path = folder / member.name
                        path.parent.mkdir(parents=True, exist_ok=True)
                        with open(path, "wb") as out:
                            shutil.copyfileobj(tar.extractfile(member), out)
                        if system.file_hash(path) == listed[member.name]:
                            good.add(member.name)
                        else:
                            refuse(
                                member.name,
                                f"{path.name}: found a SHA-256 other than in {SUMS}, expected that; copy it again",
                            )
        except Exception as error:  # tarfile and what unpacks
            if isinstance(error, OSError) and error.errno:  # the system's, such as a full disk's
                raise
            refuse(archive.name, f"no tar, or cut off ({reason(error).rstrip(':')}); copy it again")
    for name in listed:
        if name not in good:
            refuse(name, f"{name.rpartition('/')[2]} is listed in {SUMS}, but not whole in the archive; copy it again")
    return {_folder_of(name) for name in good} - problems.keys(), problems


def _read_sums(content: bytes) -> dict[str, str]:
    lines = re.findall(r"^([0-9a-f]{64})  (.+)$", content.decode(errors="replace"), re.MULTILINE)
    return {name: checksum for checksum, name in lines if _folder_of(name)}


def _folder_of(name: str) -> str | None:
    """The record's or checkpoint's folder that a member belongs to; None for any name that has no business here."""
    matches = [re.fullmatch(rf"(?P<folder>{kind})/(?:{file})", name) for kind, file in _FILES.items()]
    return next((match["folder"] for match in matches if match), None)


def _run_of(match: re.Match) -> runs.Run:
    """The run that this checkout would make at a folder's place."""
    profile = match["profile"] or "full"
    if profile not in runs.PROFILES:
        raise refused("profile", profile, f"one of {', '.join(runs.PROFILES)}", OTHER)
    run = runs.run(match["name"], int(match["seed"]), profile, match["backend"], match["precision"] or "float32")
    if run.place != match["place"]:
        raise refused("its place", match["place"], f"{run.place}, which its experiment here makes", OTHER)
    return run


def _must_agree(run: runs.Run, parameters: dict) -> None:
    """Raise ValueError naming the parameters in which something made elsewhere differs from this checkout's run."""
    theirs = {name: run.experiment["defaults"][name] for name in run.parameters} | parameters
    differing = [
        f"{name} {theirs.get(name)!r}, here {run.parameters.get(name)!r}"
        for name in sorted(run.parameters.keys() | theirs.keys())
        if theirs.get(name) != run.parameters.get(name)
    ]
    if differing:
        raise ValueError(f"not the parameters of experiments/{run.name}.yaml here: {', '.join(differing)}; {OTHER}")


def _take_record(folder: Path, name: str, force: bool) -> bool:
    """Put a record in place if it holds in every check (ValueError: why not); False where it is here already."""
    run = _run_of(re.fullmatch(_RECORD, name))
    record = records.read(folder)
    for field, expected in {
        "experiment": run.name, "backend": run.backend, "seed": run.seed, "profile": run.profile,
        "precision": run.parameters.get("precision", "float32"),
    }.items():  # fmt: skip
        if record[field] != expected:
            raise ValueError(f"metrics.json says {field} {record[field]!r}, its place {expected!r}; {AGAIN}")
    _must_agree(run, record["parameters"])
    records.check(record)
    _check_rows(record)
    notebook = folder / "run.ipynb"
    if _travels(notebook) and not notebook.exists():
        raise refused("run.ipynb", "no such file", "the executed notebook", AGAIN)
    if notebook.exists():
        content = documents.read_json(notebook, then=AGAIN)
        if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
            raise refused("run.ipynb", "no notebook", "an executed one, with its cells", AGAIN)
    with system.locked(run.lock, f"run {run}", patience=0):
        records.put_to_the_end(run.folder)
        try:
            ours, theirs = records.predictions(records.read(run.folder)), records.predictions(record)
        except (OSError, ValueError):  # none here, or a broken one
            pass
        else:
            if ours.keys() == theirs.keys() and all(np.array_equal(ours[key], theirs[key]) for key in ours):
                return False
            if not force:
                raise ValueError("a record with other predictions is here; --force replaces it")
        records.put(folder, run.folder)
        shutil.rmtree(run.unfinished, ignore_errors=True)  # it is finished now
    return True


def _check_rows(record: dict) -> None:
    """Raise ValueError where a record's data set is here but is another, or has other labels at the record's rows."""
    try:
        faces = runs.dataset(record["data"]["name"])
    except FileNotFoundError:
        return  # nothing here to compare with
    if faces.sha256 != record["data"]["sha256"]:
        found, expected = f"SHA-256 {record['data']['sha256']}", f"{faces.sha256}, as the {faces.name} that is here"
        raise refused("its data", found, expected, "bring the same data to both machines")
    arrays = records.predictions(record)
    rows = np.searchsorted(faces.ids, arrays["ids"])
    keys = ("labels",) if record["parameters"].get("folds") else ("labels", "split")  # with folds all rows are tested
    if not all((getattr(faces, key)[rows] == arrays[key]).all() for key in keys):
        found = "rows with other labels or splits"
        raise refused("predictions.npz", found, f"those of {faces.name}", AGAIN)


def _take_checkpoint(folder: Path, name: str, force: bool) -> bool:
    """Put a checkpoint where its run goes on from it; False where the run is as far here. ValueError: why not."""
    match = re.fullmatch(_CHECKPOINT, name)
    run, epoch = _run_of(match), int(match["epoch"])
    state = documents.read_json(folder / "state.json", then=AGAIN)
    kinds = {"identity": dict, "history": list, "best_epoch": int, "seconds": float, "sha256": dict}
    documents.check_keys(state, folder / "state.json", kinds, ("identity", "history"), AGAIN)
    needed = {"protocol": dict, "seed": int, "data": str, "backend": str}
    identity = documents.check_keys(state["identity"], folder / "state.json", needed, tuple(needed), AGAIN)
    if identity["backend"] != run.backend or len(state["history"]) != epoch:
        found = f"backend {identity['backend']} and {len(state['history'])} epochs"
        raise refused("state.json", found, f"{run.backend} and {epoch}, as its folder is named", AGAIN)
    place, own = run.unfinished, identity["protocol"]
    if match["part"]:
        place = place / f"checkpoint-{match['part']}"
    folds = {"folds": run.parameters["folds"]} if match["part"] and run.parameters.get("folds") else {}
    if folds or not match["part"]:  # a fold's own protocol has no folds
        _must_agree(run, own | folds | {"seed": identity["seed"], "data": run.parameters["data"]})
    elif identity["seed"] != run.seed:  # the network for a run's scenes has a protocol that the run alone knows
        raise refused("state.json", f"seed {identity['seed']}", f"{run.seed}, as its folder is named", AGAIN)
    with system.locked(run.lock, f"run {run}", patience=0):
        if not force and ((run.folder / "metrics.json").exists() or _epochs_at(place) >= epoch):
            return False
        for old in place.glob("checkpoint*"):
            shutil.rmtree(old)
        place.mkdir(parents=True, exist_ok=True)
        os.replace(folder, place / folder.name)
    return True


def _epochs_at(place: Path) -> int:
    """After how many epochs the network goes on whose checkpoints are here."""
    return max((int(each.name.removeprefix("checkpoint-")) for each in place.glob("checkpoint-[0-9]*")), default=0)
