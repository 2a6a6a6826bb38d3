"""Faults on real processes: ``make test-faults``.

It kills processes of the smoke grid at random moments (``kills``), ends the pieces of a study before each of their
file operations in turn (``sweeps``), and then does what machines and people do to one (``scenarios``): a full disk,
read-only results, several calls at once, clocks that are wrong, too little memory, damaged files, a notebook that
hangs, Ctrl-C and the signals of a cluster. After each, the same call has to end as an undisturbed one does: no record
is lost, none is made twice, none that is half counts as whole, and what was said tells what happened. ``--keep``
writes what each part found into docs/robustness.md.
"""

import argparse
import errno
import hashlib
import itertools
import json
import mmap
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import small_study
from small_study import NETWORK, TREE, differing, processes, records_of

from fer_lib import paths, system
from fer_lib.evaluation import records
from fer_lib.files import writing
from fer_lib.markdown import table
from fer_lib.report import parts
from fer_lib.runs import plan

SECONDS = 15
"""How long after a kill the next one may come."""
LONGEST = 120
"""Seconds for which a kill waits, every other time, for one more record."""
PATIENCE = 10.0
"""Seconds in which what was started by a killed process has to end."""
AT_THE_END = 0.15
"""The share of the kills that is kept for the last grid, where it writes its report if all runs are made."""


@dataclass
class Tally:
    """What was tried of one kind, and what came of it."""

    what: str
    moments: int = 0
    survived: int = 0
    lost: int = 0
    doubled: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, problems: Iterable[str], lost: int = 0, doubled: int = 0) -> None:
        """One more moment, and what was wrong after it."""
        found = [*problems]
        self.moments += 1
        self.survived += not (found or lost or doubled)
        self.lost, self.doubled = self.lost + lost, self.doubled + doubled
        self.problems += found
        for problem in [*found, *([f"{lost} records lost, {doubled} made twice"] if lost or doubled else [])]:
            say(f"FAILED {self.what}: {problem}")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def within(seconds: float, come: Callable[[], object]) -> bool:
    """Whether something comes within so many seconds."""
    deadline = time.monotonic() + seconds
    while not come():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


# ---- what is there


def kept(results: Path) -> dict[str, str]:
    """The records that count as whole, each with a checksum of all its bytes, by place."""
    found = {}
    for path in sorted(results.glob("runs/*/*/*/metrics.json")):
        with suppress(OSError, ValueError):  # no record, or replaced just now
            records.read(path.parent)
            content = b"".join((path.parent / name).read_bytes() for name in ("predictions.npz", "metrics.json"))
            found[path.parent.relative_to(results / "runs").as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def half(results: Path) -> list[str]:
    """A sentence for each record that counts as whole, and is not."""
    sentences = []
    for path in sorted(results.glob("runs/*/*/*/metrics.json")):
        try:
            records.check(records.read(path.parent))
        except Exception as error:
            time.sleep(1)
            if path.exists():  # else it was replaced just now
                try:
                    records.check(records.read(path.parent))
                except Exception:
                    sentences.append(f"half a record: {error}")
    return sentences


def compared(before: dict[str, str], results: Path) -> tuple[int, int]:
    """How many of the records before are lost, and how many were made again.

    Each place has to hold the old bytes still, or else a whole record that is new. Only what was looked at before a
    fault, and before the call after it, tells: that call makes anew what is lost, and nothing is noticed.
    """
    after = kept(results)
    others = [place for place, was in before.items() if after.get(place) != was]
    lost = [place for place in others if not is_whole(results / "runs" / place)]
    return len(lost), len(others) - len(lost)


def is_whole(folder: Path) -> bool:
    try:
        records.check(records.read(folder))
    except Exception:  # whatever a damaged record raises
        return False
    return True


FINISH = """
import pathlib, sys
from fer_lib import paths
from fer_lib.runs import plan
paths.RESULTS = pathlib.Path(sys.argv[1])
plan.finish_records("smoke")
"""


def finish(results: Path, environment: dict[str, str]) -> None:
    """Finish the records that were being put in place, as the next call does first."""
    folder = environment["PYTHONPATH"].split(":")[0]
    subprocess.run([sys.executable, "-c", FINISH, str(results)], cwd=folder, env=environment, check=True)


@contextmanager
def copied(results: Path, place: Path) -> Iterator[Path]:
    """A copy of the results, in which records may be finished: the next call has to do it itself, where it works."""
    shutil.copytree(results, place, symlinks=True)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def leftovers(study: Path) -> list[str]:
    """What nobody needs any more when all is done: unfinished runs, half-written and temporary files. (Snakemake that
    is killed leaves an empty folder among these, which is its own affair.)"""
    found = [path for path in study.rglob("*partial*")]
    found += [path for path in study.glob("results/**/unfinished/*/*/*") if path.is_dir()]
    found += [path for path in study.glob(".snakemake/incomplete/*")]
    found += [path for path in study.glob(".snakemake/locks/*")]
    found += [path for path in study.glob("tmp/*") if not path.name.startswith(("snakemake", "."))]
    return [f"left behind: {path.relative_to(study)}" for path in found]


# ---- kill -9 at random moments of the smoke grid


class Grid:
    """The smoke grid in a copy of the checkout, started by make as a user does."""

    def __init__(self, folder: Path):
        self.folder, self.results = folder, folder / "results" / "local" / "smoke"
        small_study.copy_of_the_project(folder)
        (folder / "tmp").mkdir()
        self.environment = os.environ | {
            "PYTHONPATH": str(folder),
            "FER_CACHE": str(folder / "cache"),
            "TMPDIR": str(folder / "tmp"),
        }
        for name in ("FER2013", "MAKEFLAGS", "MAKELEVEL"):
            self.environment.pop(name, None)
        (folder / ".venv" / "bin").mkdir(parents=True)
        python = folder / ".venv" / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        self.command = ["make", "LOCK=lock", "--assume-old=.venv/.installed-lock", "reproduce", "PROFILE=smoke"]
        self.log = folder.with_name(f"{folder.name}.txt")

    def start(self) -> subprocess.Popen:
        with open(self.log, "ab") as out:
            return subprocess.Popen(
                self.command, cwd=self.folder, env=self.environment, stdout=out, stderr=out, start_new_session=True
            )

    def called(self) -> tuple[int, str]:
        """Call it to its end: exit code, and what it printed."""
        before = self.log.stat().st_size if self.log.exists() else 0
        code = self.start().wait()
        return code, self.log.read_text(errors="replace")[before:]

    def roles(self) -> dict[str, list[psutil.Process]]:
        """The processes at work, by the part that each plays."""
        found = {role: [] for role in ROLES}
        for process in processes(self.folder):
            try:
                line = process.cmdline()
                role = next((role for role, plays in ROLES.items() if plays(line)), None)
                if role == "fer reproduce" and "fer_lib reproduce" in " ".join(process.parent().cmdline()):
                    role = "child of the report"
                if role == "make" and process.parent().cmdline()[:1] == ["make"]:
                    continue  # what it has just begun for a $(shell) of the Makefile
            except (psutil.Error, AttributeError):
                continue
            if role:
                found[role].append(process)
        return {role: found for role, found in found.items() if found}

    def phase(self) -> str:
        """What is under way."""
        if system.is_locked(self.results.parent / "report-smoke.lock"):
            return "the report"
        return "runs" if "kernel" in self.roles() else "the start"


ROLES = {
    "make": lambda line: line[:1] == ["make"],
    "fer reproduce": lambda line: "fer_lib reproduce" in " ".join(line),
    "Snakemake": lambda line: "snakemake.cli" in " ".join(line),
    "fer run": lambda line: "fer_lib run " in " ".join(line),
    "kernel": lambda line: "ipykernel_launcher" in line,
    "child of the report": lambda line: False,  # told by its parent
}


def kills(grid: Grid, whole: dict, moments: int, rng: random.Random) -> list[Tally]:
    """Kill a random process of the grid at random moments, ``moments`` times. Whenever all its runs are made it is let
    end, compared with the ``whole`` one, and begun anew."""
    tallies, phases, call = {role: Tally(f"kill -9: {role}") for role in ROLES}, {}, None
    ends = Tally("the end of a grid")
    before: dict[str, str] = {}
    late = round(AT_THE_END * moments)
    number = 0
    while number < moments:
        if call is None or call.poll() is not None:
            if len(kept(grid.results)) == len(whole):
                if number < moments - late:
                    ends.add(*at_its_end(grid, before, whole))
                    shutil.rmtree(grid.results)
                    before = {}
                else:
                    (grid.results / "report.html").unlink(missing_ok=True)
            call = grid.start()
        if rng.random() < 0.5:  # so that the grid goes on, however slow the machine
            there = len(kept(grid.results))
            within(LONGEST, lambda: len(kept(grid.results)) > there or call.poll() is not None)  # noqa: B023
        time.sleep(rng.uniform(0.2, SECONDS))
        roles = {}
        while not roles and call.poll() is None:
            roles = grid.roles()
        if not roles:  # it ended of itself
            continue
        role = min(roles, key=lambda each: (tallies[each].moments, rng.random()))
        victim, phase = rng.choice(roles[role]), grid.phase()
        before = kept(grid.results) | before  # what was there after the last kill has to be there still
        doomed = [victim, *offspring(victim)]
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            continue
        problems = [f"{each} survived it" for each in psutil.wait_procs(doomed, PATIENCE)[1] if lives(each)]
        if role in ("make", "fer reproduce") and not within(PATIENCE, lambda: not processes(grid.folder)):
            problems.append(f"{grid.roles()} survived it")
        finish(grid.results.parents[1], grid.environment)
        tallies[role].add([*problems, *half(grid.results)], *compared(before, grid.results))
        phases[phase] = phases.get(phase, 0) + 1
        number += 1
        say(f"{number:3d}/{moments}  {phase:<10}  {role:<19}  {len(before)} records")
        before = kept(grid.results)
    if call.poll() is None:
        call.wait()
    ends.add(*at_its_end(grid, before, whole))
    say(f"phases: {', '.join(f'{phase} {count}' for phase, count in sorted(phases.items()))}")
    return [*tallies.values(), ends]


def at_its_end(grid: Grid, before: dict[str, str], whole: dict) -> tuple[list[str], int, int]:
    """Let the grid end: what is wrong with it then, and how many records are lost and made twice."""
    for _ in range(2):  # the second call makes what was killed while the first went on without it
        before = kept(grid.results) | before
        code, printed = grid.called()
        if code == 0:
            break
    problems = [] if code == 0 else [f"exit code {code}: {printed[-500:]}"]
    problems += differing(whole, records_of(grid.results)) + half(grid.results) + leftovers(grid.folder)
    code, printed = grid.called()
    problems += [] if code == 0 and "nothing to do" in printed else [f"found something to do: {printed[-300:]}"]
    return problems, *compared(before, grid.results)


def offspring(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def lives(process: psutil.Process) -> bool:
    """Whether a process does, and is no zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# ---- an end before each file operation


class Sweep:
    """A piece of the study, in processes copied from this one, each of which ends before one of its file operations.

    In ``folder`` a study with these experiments is made, and in it these ``steps`` before; ``piece`` is what is done,
    and is done again afterwards.
    """

    def __init__(
        self, what: str, folder: Path, piece: Callable[[], object], *steps: Callable[[], object], **experiments: str
    ):
        self.what, self.start, self.folder = what, folder.with_name(f"{folder.name}-start"), folder
        self.piece, self.steps, self.experiments = piece, steps, experiments or {"tree": TREE, "network": NETWORK}
        self.repeats = "over" in what  # what is there is to be made again
        self.shared = mmap.mmap(-1, 4096)  # (count of operations, the last of them), also after the child was killed

    def child(self, function: Callable[[], object], nth: int = 0, full: bool = False) -> tuple[int, int, str]:
        """Call a function in a copy of this process, which is killed before its nth operation on files in ``folder``,
        or finds the disk full from then on: wait status, how many there were, and the last of them, or the error."""
        self.shared[:] = bytes(4096)
        pid = os.fork()
        if not pid:
            code = 1
            try:
                with open(f"{self.folder}.txt", "ab") as out:
                    os.dup2(out.fileno(), 1)
                    os.dup2(out.fileno(), 2)
                at(self.folder)
                sys.addaudithook(self.hook(nth, full))
                function()
                code = 0
            except BaseException as error:
                self.tell(f"{type(error).__name__}: {error}")
            finally:
                os._exit(code)
        status = os.waitpid(pid, 0)[1]
        text = self.shared[8:].rstrip(b"\0").decode(errors="replace")
        return status, int.from_bytes(self.shared[:8], "little"), text

    def tell(self, text: str) -> None:
        content = text.encode()[:4000]
        self.shared[8 : 8 + len(content)] = content

    def hook(self, nth: int, full: bool) -> Callable:
        folder, count, owner = str(self.folder), 0, os.getpid()

        def looked_at(event: str, arguments: tuple) -> None:
            nonlocal count
            if event == "open":
                names = arguments[:1] if arguments[2] & (os.O_WRONLY | os.O_RDWR) else ()
            elif event in ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"):
                names = arguments[:2]
                if arguments[-1] not in (-1, None) and event in ("os.remove", "os.rmdir"):  # relative to a folder
                    names = (f"{folder}/.../{arguments[0]}",)
            else:
                return
            if os.getpid() == owner and any(str(name).startswith(folder) for name in names):
                count += 1
                self.shared[:8] = count.to_bytes(8, "little")
                if full and nth and count >= nth and event in ("open", "os.mkdir"):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(names[0]))
                if count == nth and not full:
                    self.tell(f"{event} {' '.join(str(name).removeprefix(folder) for name in names)}")
                    os.kill(owner, signal.SIGKILL)

        return looked_at

    def prepare(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.start, self.folder, symlinks=True)

    def run(self, state: Callable[[], object], every: int = 1) -> list[Tally]:
        """End it before each operation (or of ``every`` of them one), each time from the start; then do it again. And
        the same with a disk that is full from there on, until it is done again.

        ``state`` is what has to be in the folder in the end, whatever happened on the way.
        """
        tallies = [
            Tally(f"ended before an operation: {self.what}"),
            Tally(f"no room from an operation on: {self.what}"),
        ]
        began = time.monotonic()
        small_study.Study(self.folder, **self.experiments)
        (self.folder / "claims").mkdir()
        for step in self.steps:
            status, _, text = self.child(step)
            assert not status, text
        self.folder.rename(self.start)
        self.prepare()
        status, count, text = self.child(self.piece)
        assert not status, text
        expected, results = self.state(state), Path("results", "local", "smoke")
        before = kept(self.start / results)  # before the fault: what that loses is made anew by the call after it
        ends, fills = range(1, count + 1, every), range(1, count + 1, 3 * every)
        for full, number in [*zip(itertools.repeat(False), ends), *zip(itertools.repeat(True), fills)]:
            self.prepare()
            status, _, text = self.child(self.piece, number, full)
            problems = half_in_all(self.folder)
            if status != signal.SIGKILL if not full else status and "No space left" not in text:
                problems.append(f"status {status}: {text}")
            lost, doubled = self.after_the_fault(before)
            then = kept(self.folder / results)
            again, _, error = self.child(self.piece)
            problems += [f"the same call failed: {error}"] if again else []
            lost, doubled = (sum(both) for both in zip((lost, doubled), compared(then, self.folder / results)))
            found = self.state(state)
            if found != expected:
                problems.append(f"found {found!r:.300}, expected {expected!r:.300}")
            problems += [] if "checkpoints" in self.what else leftovers(self.folder)  # they are what was to come
            named = [f"before {number} of {count}, {text}: {problem}" for problem in problems]
            tallies[full].add(named, lost, 0 if self.repeats else doubled)
        tried = [f"{tally.survived} of {tally.moments}" for tally in tallies]
        say(f"{self.what}: {' and '.join(tried)} in {time.monotonic() - began:.0f} s")
        return tallies

    def after_the_fault(self, before: dict[str, str]) -> tuple[int, int]:
        """``compared`` with the records before it, when what was being put in place is finished."""
        if not before:
            return 0, 0
        with copied(self.folder / "results", self.folder.with_name(f"{self.folder.name}-finished")) as results:

            def finish_there() -> None:
                paths.RESULTS = results
                plan.finish_records("smoke")

            status, _, text = self.child(finish_there)
            assert not status, text
            return compared(before, results / "local" / "smoke")

    def state(self, state: Callable[[], object]) -> object:
        return state(self.folder)


def half_in_all(folder: Path) -> list[str]:
    return half(folder / "results" / "local" / "smoke")


def at(folder: Path) -> None:
    """Let this process work in a folder as if the checkout were there."""
    paths.ROOT, paths.RESULTS, paths.CACHE = folder, folder / "results", folder / "cache"
    paths.EXPERIMENTS, paths.CLAIMS, paths.DATA = folder / "experiments", folder / "claims", folder / "data"
    paths.NOTEBOOKS = folder / "notebooks"
    os.environ["FER_CACHE"] = str(paths.CACHE)
    os.chdir(folder)


def without_a_kernel(notebook: str, output: Path, values: dict, *_) -> None:
    """``notebooks.execute``, in this process, and without the cells that only draw or describe."""
    file = paths.NOTEBOOKS / f"{notebook}.ipynb"
    variables: dict = {}
    for cell in json.loads(file.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and not re.search(r"(figures|findings)\.", source):
            exec(source, variables)
            if "parameters" in cell["metadata"].get("tags", []):
                variables |= values
    writing.replace_text(output, file.read_text())


PIECES = {
    "export": 1,
    "import": 1,
    "import over other records": 1,
    "import of checkpoints": 1,
    "unpacked predictions": 1,
    "the cache of drawn faces": 1,
    "a decision tree": 1,
    "a tree over its record": 1,
    "a network": 1,
    "the report": 6,
}
"""The pieces that are ended before each of their operations, and of how many of these one is tried at most."""


def sweeps(folder: Path, asked: Callable[[str], bool], every: int) -> list[Tally]:
    """Pieces of a study, ended before each of their file operations, or of ``every`` of them one; the report, which
    takes longer, before fewer."""
    if not any(map(asked, PIECES)):
        return []
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"
    import keras  # noqa: F401 (what is loaded here, no copy of this process loads)
    import matplotlib.pyplot  # noqa: F401
    import sklearn.tree  # noqa: F401

    from fer_lib import data, runs
    from fer_lib.evaluation import unpacked
    from fer_lib.report import climb, findings, page, show  # noqa: F401
    from fer_lib.report.causes import page as causes  # noqa: F401
    from fer_lib.runs import make, notebooks, transport
    from fer_lib.training import checkpoints, loop  # noqa: F401

    notebooks.execute = without_a_kernel

    def missing() -> None:
        for run in make.prepare("smoke")[1]:
            runs.execute(run.name, run.seed, "smoke")

    def again() -> None:
        runs.execute("study/tree", 0, "smoke")

    def recorded(here: Path) -> dict:
        return {place: hashlib.sha256(repr(of).encode()).hexdigest() for place, of in
                records_of(here / "results" / "local" / "smoke").items()}  # fmt: skip

    def to_tar() -> None:
        transport.export_records(Path.cwd() / "out.tar", "smoke", checkpoints=True)

    def away() -> None:
        shutil.rmtree(paths.RESULTS)

    def stopped_after_an_epoch() -> None:
        original = checkpoints.save

        def save(*arguments) -> None:
            original(*arguments)
            raise SystemExit

        checkpoints.save = save
        run = runs.run("study/network", 0, "smoke")
        where = {"experiment": run.name, "title": "", "profile": "smoke", "record": str(run.unfinished)}
        with suppress(SystemExit):
            without_a_kernel("3_train_network", run.unfinished / "run.ipynb", run.parameters | where)
        checkpoints.save = original

    def taken() -> None:
        if transport.import_records(Path.cwd() / "out.tar"):
            raise RuntimeError("something was refused")

    def taken_by_force() -> None:
        if transport.import_records(Path.cwd() / "out.tar", force=True):
            raise RuntimeError("something was refused")

    def other() -> None:
        """Other predictions, by a thousandth, where the tar's are to be."""
        for path in paths.results_folder("smoke").glob("runs/study/*/*/"):
            record = records.read(path)
            arrays = dict(records.predictions(record))
            for name in arrays:
                if name.startswith("probabilities_"):
                    arrays[name] = (arrays[name] * 0.999).astype(arrays[name].dtype)
            del record["folder"]
            records.write(path, record, arrays)

    def faces() -> None:
        data.load_faces("drawn_faces")

    def read_faces(here: Path) -> str:
        at_home = paths.CACHE
        paths.CACHE = here / "cache"
        try:
            found = data.kept_arrays(next(iter(paths.CACHE.glob("drawn-faces-*"))), "source")
            return data.array_hash(*found[0])
        finally:
            paths.CACHE = at_home

    def unpack() -> None:
        unpacked.prepare(records.load(paths.results_folder("smoke")))

    def copies(here: Path) -> dict[str, str]:
        places = sorted((here / "results/local/smoke").rglob("local/unpacked/*"))
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in places}

    def report() -> None:
        make.report("smoke")

    def pages(here: Path) -> list:
        local = here / "results" / "local"
        names = sorted(path.name for path in (local / "smoke").iterdir() if path.is_file())
        return [names, (local / "report-smoke.stamp").read_text(), (local / "smoke" / "claims.json").read_text()]

    def tar(here: Path) -> str:
        return hashlib.sha256((here / "out.tar").read_bytes()).hexdigest()

    def checkpoints_of(here: Path) -> list[str]:
        return sorted(path.relative_to(here).as_posix() for path in here.glob("results/**/checkpoint-*/*"))

    pieces = {  # what has to come of it, the piece, steps before it
        "export": (tar, to_tar, missing),
        "import": (recorded, taken, missing, to_tar, away),
        "import over other records": (recorded, taken_by_force, missing, to_tar, other),
        "import of checkpoints": (checkpoints_of, taken, stopped_after_an_epoch, to_tar, away),
        "unpacked predictions": (copies, unpack, missing),
        "the cache of drawn faces": (read_faces, faces),
        "a decision tree": (recorded, missing, faces),
        "a tree over its record": (recorded, again, missing),
        "a network": (recorded, missing, faces),
        "the report": (pages, report, missing),
    }
    own = {
        "a decision tree": {"tree": TREE},
        "a tree over its record": {"tree": TREE},
        "a network": {"network": NETWORK},
    }
    tallies = [
        Sweep(what, folder / f"sweep{number}", *piece, **own.get(what, {})).run(state, every * PIECES[what])
        for number, (what, (state, *piece)) in enumerate(pieces.items())
        if asked(what)
    ]
    return [*itertools.chain(*tallies)]


# ---- what machines and people do


class Case:
    """A study of a tree and a network on real processes, to which something happens; ``problems`` say what was wrong.

    ``made`` is a study in which both are done, in ``folder`` a copy of it that lacks the records of some (``lacks``).
    """

    def __init__(self, made: small_study.Study, folder: Path, lacks: Iterable[str] = ("network",)):
        shutil.copytree(made.folder, folder, symlinks=True)
        self.reference, self.folder, self.problems = records_of(made.local), folder, []
        self.results, self.local = folder / "results", folder / "results" / "local" / "smoke"
        self.cache = folder / "cache"
        self.environment = made.environment | {"PYTHONPATH": str(folder), "FER_CACHE": str(self.cache)}
        for name in lacks:
            shutil.rmtree(self.local / "runs" / "study" / name)
        self.lost = self.doubled = 0
        self.arranged()

    def arranged(self) -> None:
        """What is there now has to stay: called where a scenario itself removed or damaged records."""
        self.before = kept(self.local)

    def judge(self) -> None:
        """Count the records that are lost or others since last time, when what was being put in place is finished."""
        if self.before:
            with copied(self.results, self.folder.with_name(f"{self.folder.name}-finished")) as results:
                finish(results, self.environment)
                lost, doubled = compared(self.before, results / "local" / "smoke")
            self.lost, self.doubled = self.lost + lost, self.doubled + doubled
        self.arranged()

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "fer_lib", *words, "--profile", "smoke"]

    def start(self, *words: str) -> subprocess.Popen:
        def hear_all() -> None:
            for number in (signal.SIGINT, signal.SIGHUP):  # which a job in the background ignores
                signal.signal(number, signal.SIG_DFL)

        return subprocess.Popen(
            self.command(*words), cwd=self.folder, env=self.environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True, preexec_fn=hear_all,
        )  # fmt: skip

    def ended(self, process: subprocess.Popen, code: int, *said: str) -> str:
        """Wait for a call; it has to end with this exit code, and to have said this (patterns), without a traceback."""
        printed = process.communicate(timeout=900)[0]
        if process.returncode not in (code, {130: -2}.get(code)):  # a shell says 130 of both
            self.problems.append(f"exit code {process.returncode}, expected {code}: {printed[-400:]}")
        for pattern in said:
            if not re.search(pattern, printed):
                self.problems.append(f"did not say {pattern!r}: {printed[-600:]}")
        if "Traceback (most recent call last)" in printed:
            self.problems.append(f"a traceback: {printed[-600:]}")
        if not within(PATIENCE, lambda: not processes(self.folder)):
            self.problems.append(f"survived: {processes(self.folder)}")
        self.problems += half(self.local)
        self.judge()
        return printed

    def call(self, code: int, *said: str, words: tuple = ("runs", "--missing")) -> str:
        return self.ended(self.start(*words), code, *said)

    def finishes(self, *said: str) -> None:
        """The same call ends well, with the records that an undisturbed study has, and leaves nothing to do."""
        self.judge()
        self.call(0, *said)
        self.problems += differing(self.reference, records_of(self.local)) + leftovers(self.folder)
        self.call(0, "nothing to do")

    def comes(self, what: Callable[[], object], process: subprocess.Popen) -> None:
        if not within(300, lambda: what() or process.poll() is not None) or process.poll() is not None:
            self.problems.append("it ended before the moment came")

    def playing(self, role: str) -> list[psutil.Process]:
        return processes(self.folder, ROLES[role])

    def checkpoints(self) -> list[Path]:
        return list(self.local.glob("unfinished/*/network/*/checkpoint-0*/state.json"))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A file system of its own at a folder, of so many bytes; gives what mounts it again with other options."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "fer-faults", str(folder)], check=True)
    try:
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def can_mount() -> bool:
    with tempfile.TemporaryDirectory() as place:
        try:
            with small_disk(Path(place), "1m"):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


NETWORK_RUN = ("run", "study/network")
NO_ROOM = "(?i)no space left|found no space left|No space left on device"


def full_disk(size: str) -> Callable[[Case], None]:
    def happens(case: Case) -> None:
        with small_disk(case.results, size) as again:
            case.arranged()  # the disk is empty
            case.call(1, NO_ROOM)
            again("size=500m")
            case.finishes()

    return happens


def full_cache(case: Case) -> None:
    shutil.rmtree(case.cache)
    with small_disk(case.cache, "100k"):
        case.finishes()


def full_temporary_folder(case: Case) -> None:
    """Python and what it calls then take another one."""
    with small_disk(case.folder / "tmp", "4k"):
        (case.folder / "tmp" / "full").write_bytes(bytes(4096))
        case.environment["TMPDIR"] = str(case.folder / "tmp")
        case.call(0)
        (case.folder / "tmp" / "full").unlink()
        case.finishes("nothing to do")


def read_only(which: str) -> Callable[[Case], None]:
    def happens(case: Case) -> None:
        with small_disk(case.folder / which, "500m") as again:
            case.arranged()  # the disk is empty
            again("ro")
            case.call(1, "(?i)read-only file system")
            again("rw")
            case.finishes()

    return happens


def read_only_cache(case: Case) -> None:
    with small_disk(case.cache, "10m") as again:
        again("ro")
        case.finishes()


def two_at_once(case: Case) -> None:
    first, other = case.start("reproduce"), case.start("reproduce")
    third = case.start("runs", "--missing")
    ended = [(each.communicate(timeout=900)[0], each.returncode) for each in (first, other, third)]
    if sorted(code for _, code in ended) != [0, 1, 1]:
        case.problems.append(f"exit codes {[code for _, code in ended]}, expected one 0: {ended}")
    for printed, code in ended:
        if code and "making runs is already under way (it holds " not in printed:
            case.problems.append(f"did not say who is at work: {printed[-300:]}")
    case.finishes("nothing to do")


def one_cache_for_two(case: Case) -> None:
    """Two checkouts, which need the same data at once."""
    shutil.rmtree(case.cache)
    other = Case.__new__(Case)
    other.__dict__ = case.__dict__ | {"folder": case.folder.with_name(f"{case.folder.name}-other"), "problems": []}
    shutil.copytree(case.folder, other.folder)
    other.environment = case.environment | {"PYTHONPATH": str(other.folder)}
    other.results, other.local = other.folder / "results", other.folder / "results" / "local" / "smoke"
    both = [each.start("run", "study/tree") for each in (case, other)]
    for each, process in zip((case, other), both, strict=True):
        each.ended(process, 0, "done, see")
    case.finishes()
    other.finishes()
    case.problems += other.problems
    case.lost, case.doubled = case.lost + other.lost, case.doubled + other.doubled


def files_from(shift: float) -> Callable[[Case], None]:
    """All files get a time so many seconds from now, in the middle and in the end."""

    def happens(case: Case) -> None:
        process = case.start(*NETWORK_RUN)
        case.comes(case.checkpoints, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        for last in (False, True):
            then = time.time() + shift
            for path in [*case.results.rglob("*"), *case.cache.rglob("*")]:
                os.utime(path, (then, then))
            case.finishes("nothing to do" if last else "continuing after epoch")

    return happens


def clock_set(shift: float) -> Callable[[Case], None]:
    """The clock is set by so many seconds while a network is trained."""

    def happens(case: Case) -> None:
        place = case.folder / "clock"
        place.mkdir()
        (place / "sitecustomize.py").write_text(
            f"import os, time\nnow = time.time\ntime.time = lambda: now() + {shift} * os.path.exists('{place}/set')\n"
        )
        case.environment["PYTHONPATH"] += f":{place}"
        process = case.start(*NETWORK_RUN)
        case.comes(case.checkpoints, process)
        (place / "set").touch()
        case.ended(process, 0, "done, see")
        case.finishes("nothing to do")

    return happens


def kernel_of(case: Case, name: str) -> list[psutil.Process]:
    """The kernel of a run of the study, where there is one."""
    own = [run for run in case.playing("fer run") if f"study/{name}" in " ".join(run.cmdline())]
    kernels = {each.pid for each in case.playing("kernel")}
    return [child for run in own for child in offspring(run) if child.pid in kernels]


def too_little_memory(case: Case) -> None:
    """For one run's kernel: what it asks for is refused; the other run goes on."""
    process = case.start("runs", "--missing", "--jobs", "2")
    case.comes(lambda: kernel_of(case, "network"), process)
    for kernel in kernel_of(case, "network"):
        kernel.rlimit(psutil.RLIMIT_AS, (10**8, 10**8))
    case.ended(process, 1, "FAILED +study/network seed 0: .*([Mm]emory|allocate)", "1 done, 1 failed")
    case.finishes()


def killed_for_memory(case: Case) -> None:
    """By the system, from outside: a group of processes has 200 MB."""
    group = Path("/sys/fs/cgroup/memory") / f"fer-faults-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text("200M")
        process = case.start("runs", "--missing", "--jobs", "2")
        case.comes(lambda: kernel_of(case, "network"), process)
        for kernel in kernel_of(case, "network"):
            (group / "cgroup.procs").write_text(str(kernel.pid))
        case.ended(process, 1, "FAILED +study/network seed 0: Kernel died .*out of memory", "1 done, 1 failed")
        case.finishes()
    finally:
        group.rmdir()


def with_a_bit_turned(content: bytes, share: float) -> bytes:
    place = int(len(content) * share)
    return content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :]


def turned(path: Path) -> None:
    """Let a bit of a file be turned."""
    path.write_bytes(with_a_bit_turned(path.read_bytes(), 0.9))


def damaged_cache(case: Case) -> None:
    folder = next(case.cache.glob("drawn-faces-*"))
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    for damage in (
        lambda: turned(folder / "images.npy"),
        lambda: (folder / "labels.npy").write_bytes(whole[folder / "split.npy"]),
        lambda: (folder / "images.npy").write_bytes(whole[folder / "images.npy"][:-1000]),
        lambda: (folder / "about.json").write_text("{"),
    ):
        damage()
        shutil.rmtree(case.local, ignore_errors=True)
        case.arranged()
        case.call(0, "done, see", words=("run", "study/tree"))
        case.problems += [f"{path.name} is another" for path in whole if path.read_bytes() != whole[path]]
    case.finishes()


def damaged_checkpoints(case: Case) -> None:
    process = case.start(*NETWORK_RUN)
    case.comes(case.checkpoints, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept_one = case.checkpoints()[0].parent
    whole = {path.name: path.read_bytes() for path in kept_one.iterdir()}
    for name, content in whole.items():
        for damaged in (content[: len(content) // 2], with_a_bit_turned(content, 0.6)):
            shutil.rmtree(case.local)
            case.arranged()
            kept_one.mkdir(parents=True)
            for each, text in whole.items():
                (kept_one / each).write_bytes(damaged if each == name else text)
            case.call(0, r"checkpoint-\d+ cannot be used, and is passed over: ", words=NETWORK_RUN)
            case.problems += one_sided(case, f"{name} of {len(damaged)} bytes instead of {len(content)}")
    case.finishes()


def one_sided(case: Case, what: str) -> list[str]:
    """A sentence for each record there that is not the undisturbed study's."""
    found = records_of(case.local)
    return [f"{what}: {each}" for each in differing({place: case.reference[place] for place in found}, found)]


def other_predictions(case: Case) -> None:
    """Two records' predictions are exchanged, a byte is another, a score is another."""
    tree, network = (next(case.local.glob(f"runs/study/{name}/*")) for name in ("tree", "network"))
    contents = [(each / "predictions.npz").read_bytes() for each in (tree, network)]
    for each, content in zip((tree, network), reversed(contents), strict=True):
        (each / "predictions.npz").write_bytes(content)
    case.arranged()
    case.call(1, r"predictions.npz: found SHA-256 .* delete the folder to run it again", words=("report",))
    case.finishes("0 of 2 runs are there; 2 to make")
    turned(tree / "predictions.npz")
    case.arranged()
    case.call(1, r"study/tree/\S+/predictions.npz: found SHA-256", words=("report",))
    case.finishes("1 of 2 runs are there; 1 to make")
    text = (tree / "metrics.json").read_text()
    better = re.sub(r'"correct": (\d+)', lambda found: f'"correct": {int(found[1]) + 1}', text, count=1)
    (tree / "metrics.json").write_text(better)
    case.arranged()
    case.call(1, r"study/tree/\S+/predictions.npz: .* they score .*metrics.json says", words=("report",))
    shutil.rmtree(tree)  # as it says
    case.arranged()
    case.finishes("1 of 2 runs are there; 1 to make")
    case.problems = [problem for problem in case.problems if not problem.startswith("half a record")]  # as was arranged
    case.problems += half(case.local)


def hangs(case: Case) -> None:
    """A run stands still: it is ended when its time is over, and the other is made."""
    file = case.folder / "experiments" / "study" / "network.yaml"
    text = file.read_text()
    file.write_text(text.replace("hours_gpu: 1}", "hours_gpu: 1, limit_hours: 0.01}"))
    process = case.start("reproduce")
    case.comes(case.checkpoints, process)
    for kernel in kernel_of(case, "network"):
        kernel.suspend()
    case.ended(process, 1, r"FAILED study/network seed 0: cell \d+: the limit of a run is over: found it still at work")
    file.write_text(text)
    case.finishes("1 of 2 runs are there", "continuing after epoch")


def signalled(number: int, whom: str, code: int, *said: str, times: int = 1) -> Callable[[Case], None]:
    def happens(case: Case) -> None:
        words = NETWORK_RUN if whom == "run" else ("reproduce",)
        process = case.start(*words)
        case.comes(case.checkpoints, process)
        for _ in range(times):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number) if whom == "all" else process.send_signal(number)
            time.sleep(0.2)
        case.ended(process, code, *said)
        case.finishes("continuing after epoch")

    return happens


def stopped_for_a_while(case: Case) -> None:
    process = case.start("reproduce")
    case.comes(case.checkpoints, process)
    for each in processes(case.folder):
        each.suspend()
    time.sleep(5)
    for each in reversed(processes(case.folder)):
        each.resume()
    case.ended(process, 0)
    case.finishes("nothing to do")


def deleted_underneath(case: Case) -> None:
    process = case.start("reproduce")
    case.comes(case.checkpoints, process)
    shutil.rmtree(case.results, ignore_errors=True)
    case.before = {}
    case.ended(process, 1, "(?i)no such file|still missing")
    case.finishes()


YEAR = 365 * 86400.0
DISKS = {
    "the disk is full at once": full_disk("64k"),
    "the disk is full in the first checkpoint": full_disk("3m"),
    "the cache has no room": full_cache,
    "the temporary folder has no room": full_temporary_folder,
    "results/ is read-only": read_only("results"),
    "results/local/smoke/runs is read-only": read_only("results/local/smoke/runs"),
    "the cache is read-only": read_only_cache,
}
OF_A_GROUP = {"one run is killed for want of memory": killed_for_memory}
CASES = (
    DISKS
    | OF_A_GROUP
    | {
        "two `reproduce` and one `runs --missing` at once": two_at_once,
        "two checkouts fill one cache": one_cache_for_two,
        "all files are a year old": files_from(-YEAR),
        "all files are from next year": files_from(YEAR),
        "the clock is set back by a year": clock_set(-YEAR),
        "the clock is set on by a year": clock_set(YEAR),
        "memory is refused to one run": too_little_memory,
        "the cache is damaged": damaged_cache,
        "checkpoints are damaged": damaged_checkpoints,
        "predictions or scores are another's": other_predictions,
        "a run hangs": hangs,
        "Ctrl-C in a terminal": signalled(signal.SIGINT, "all", 130, "interrupted; call the same command again"),
        "Ctrl-C, three times": signalled(signal.SIGINT, "all", 130, times=3),
        "Ctrl-C to `fer run` alone": signalled(signal.SIGINT, "run", 130, "interrupted; call the same command again"),
        "SIGTERM to `fer run`": signalled(signal.SIGTERM, "run", -15, "ended by SIGTERM"),
        "SIGTERM to all": signalled(signal.SIGTERM, "all", -15, "ended by SIGTERM"),
        "SIGHUP: the terminal is closed": signalled(signal.SIGHUP, "all", -1),
        "stopped and continued": stopped_for_a_while,
        "results/ is deleted": deleted_underneath,
    }
)


def impossible() -> dict[str, str]:
    """The scenarios that cannot be tried here, each with why."""
    found = {} if can_mount() else dict.fromkeys(DISKS, "nothing can be mounted")
    if not os.access("/sys/fs/cgroup/memory/cgroup.procs", os.W_OK):
        found |= dict.fromkeys(OF_A_GROUP, "no groups of processes of cgroup v1 can be made")
    return found


def scenarios(folder: Path, asked: Callable[[str], bool]) -> list[Tally]:
    """Each of ``CASES`` that is asked for, and possible, happens to a study of its own."""
    untried = impossible()
    cases = {what: happens for what, happens in CASES.items() if asked(what) and what not in untried}
    for what in filter(asked, untried):
        say(f"not tried, as {untried[what]} here: {what}")
    if not cases:
        return []
    made = small_study.Study(folder / "made", tree=TREE, network=f"{NETWORK}smoke: {{epochs: 8}}\n")
    (made.folder / "claims").mkdir()
    done = made.run("runs", "--missing", "--profile", "smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    both = ("tree", "network")
    lacks = dict.fromkeys((too_little_memory, killed_for_memory, one_cache_for_two), both) | {other_predictions: ()}

    def tried(number: int, what: str) -> Tally:
        began, tally, happens = time.monotonic(), Tally(what), cases[what]
        case = Case(made, folder / f"case{number}", lacks.get(happens, ("network",)))
        try:
            happens(case)
        except Exception as error:  # the next ones are tried all the same
            case.problems.append(repr(error))
        finally:
            for process in processes(case.folder):
                process.kill()
        tally.add(case.problems, case.lost, case.doubled)
        say(f"{'held' if tally.survived else 'FAILED'}: {what}, in {time.monotonic() - began:.0f} s")
        if tally.survived:
            shutil.rmtree(case.folder, ignore_errors=True)
        return tally

    with ThreadPoolExecutor(2) as two_at_a_time:
        return list(two_at_a_time.map(tried, range(len(cases)), cases))


# ---- all together


PARTS = ("kills", "sweeps", "scenarios")


def in_words(tallies: list[Tally], untried: dict[str, str], seed: int, minutes: float) -> str:
    """What a part found, in Markdown: a line for each fault, what could not be tried, and when and where it was."""
    lines = [
        {
            "Fault": tally.what,
            "Moments tried": tally.moments,
            "Survived": tally.survived,
            "Records lost": tally.lost,
            "Made twice": tally.doubled,
        }
        for tally in tallies
    ]
    text = table(lines)
    for why in dict.fromkeys(untried.values()):
        text += f"\nNot tried, as {why} there: {', '.join(what for what in untried if untried[what] == why)}.\n"
    today = time.strftime("%Y-%m-%d")
    return f"{text}\n{today}, seed {seed}, {os.cpu_count()} cores, {minutes:.0f} minutes.\n"


def asked_for(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of a call; refuses those that do not fit, and ends it."""
    parser = argparse.ArgumentParser(prog="faults.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("--moments", type=int, default=50, help="kills of the smoke grid (default: 50)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the random moments")
    parser.add_argument("--only", default="", help="some of kills, sweeps, scenarios, or of their names, with commas")
    parser.add_argument(
        "--keep", action="store_true", help="write each part's table into docs/robustness.md, to commit"
    )
    options = parser.parse_args(arguments)
    options.only = [word.strip() for word in options.only.split(",") if word.strip()] or [*PARTS]
    if options.moments < 1:
        parser.error(f"--moments: found {options.moments}, expected 1 or more")
    names = [word for word in options.only if word not in PARTS]
    for word in names:
        if not any(word in name for name in (*PIECES, *CASES)):
            parser.error(
                f"--only: found {word!r}, expected some of {', '.join(PARTS)}, or a part of one of these names: "
                f"{'; '.join((*PIECES, *CASES))}"
            )
    if options.keep and names:
        parser.error(
            f"--keep: found single cases ({', '.join(names)}), expected whole parts ({', '.join(PARTS)}), for the page "
            "tells of these; call it without --keep, or with the whole part"
        )
    return options


def main() -> int:
    options, folder = asked_for(), Path(tempfile.mkdtemp(prefix="fer-faults-"))
    say(f"seed {options.seed}, in {folder}")

    def asked(part: str, name: str) -> bool:
        return any(word == part or word in name for word in options.only)

    def killed() -> list[Tally]:
        if "kills" not in options.only:
            return []
        wanted = plan.wanted("smoke")
        if plan.missing(wanted):
            say("the undisturbed runs come first: make reproduce PROFILE=smoke")
            command = [sys.executable, "-m", "fer_lib", "reproduce", "--profile", "smoke"]
            subprocess.run(command, cwd=paths.ROOT, check=True)
        places, made = {run.place for run in wanted}, records_of(paths.results_folder("smoke"))
        whole = {place: record for place, record in made.items() if place in places}  # others may be there
        grid = Grid(folder / "grid")
        try:
            return kills(grid, whole, options.moments, random.Random(options.seed))
        finally:
            for process in processes(grid.folder):  # where the trial itself failed
                process.kill()

    parts_of_it = {
        "sweeps": lambda: sweeps(folder, partial(asked, "sweeps"), max(1, 50 // options.moments)),
        "kills": killed,
        "scenarios": lambda: scenarios(folder, partial(asked, "scenarios")),
    }
    whole = True
    for part, call in parts_of_it.items():
        began = time.monotonic()
        if not (tallies := call()):
            continue
        untried = impossible() if part == "scenarios" else {}
        summary = in_words(tallies, untried, options.seed, (time.monotonic() - began) / 60)
        print(f"\n{summary}", flush=True)
        if any(tally.survived < tally.moments for tally in tallies):
            whole = False
        elif options.keep:
            parts.put(parts.ROBUSTNESS, f"make test-faults PART={part}", summary)
    if not whole:
        print(f"FAILED; what was printed and left is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
