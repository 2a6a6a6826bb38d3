"""Damaged files for every reader of this project. None may crash, hang, or raise anything but a documented error.

``make fuzz``, or ``.venv/bin/python tests/fuzz.py MINUTES [READER ...]``, goes on for so many minutes. What damages the
files learns from what the readers do: with atheris (libFuzzer) an input that reaches new code is damaged further; where
atheris is not installed, hypothesis draws the damage, and an input that is refused at a new place is damaged further.
Either starts from the whole files of ``readers.py`` and from ``tests/corpus``.
"""

import argparse
import faulthandler
import gzip
import hashlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import traceback
import warnings
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

CORPUS = Path(__file__).with_name("corpus")
"""Inputs that reached something new, or were found to go wrong once: a folder for each reader."""
FIGURES = Path(__file__).with_name("fuzz.json")
"""What all runs with ``--keep`` did, summed up."""
SMALL = 6_000
"""Bytes of a reader's part of the corpus that ``--keep`` fills up to."""
WATCHED = ("fer_lib", "zipfile", "tarfile", "gzip", "lzma", "json", "pickle", "yaml", "PIL", "h5py")
"""Packages whose code atheris looks at: ours, and those in Python that ours gives files to."""
MEMORY = 12 << 30
"""Bytes: who reads a number too large gets no memory, not the whole machine's."""
CRASHES = 5
"""After so many a reader is given up."""

TOKENS = (
    b"", b"0", b"-1", b"1.5", b"0.0", b"256", b"99999999999999999999", b"1e999", b"nan", b"inf", b"null", b"true",
    b'""', b"[]", b"{}", b",", b";", b"\t", b"\n", b'"', b"'", b"\\", b"\x00", b"\xff", b"caf\xe9", b"\xef\xbb\xbf",
    b"../../x", b"? !!", b"&a *a", b": ", b"- ", b"%", b"\r", b"2001-99-99", b"1_000", b"0x10", b" ",
)  # fmt: skip
NAMES = r"b?'.*?'|b?\".*?\"|0x[0-9a-f]+|[0-9]+"
"""What differs between two errors of the same sort."""
SECONDS = 20
"""Of the processor, or six times as many by the clock: what takes a reader longer is a hang. The whole files here are
read in a second."""
STUCK = 9 * SECONDS
"""After so many seconds without an input a process is ended: no alarm was heard."""


ALARMS = signal.SIGALRM, signal.SIGPROF


class Hang(BaseException):
    """Raised by the alarm; nobody catches it."""


# ---- damage


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Content with one to four faults; of archives, half the time inside a member, packed again with right sums, or in
    a member's name."""
    if rng.random() < 0.5 and (inside := _inside(content, rng)) is not None:
        return inside
    for _ in range(rng.choice((1, 1, 2, 4))):
        content = rng.choice((_bits, _bytes, _cut, _token, _token, _line, _twice, _gone, _number))(content, rng)
    return content


def _place(content: bytes, rng: random.Random) -> int:
    """Anywhere, half the time near the start, where heads are."""
    return rng.randrange(max(1, min(len(content), 400 if rng.random() < 0.5 else len(content))))


def _bits(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content or b"\0")
    for _ in range(rng.choice((1, 3, 20))):
        changed[_place(changed, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _bytes(content: bytes, rng: random.Random) -> bytes:
    at, new = _place(content, rng), rng.choice((b"\xff" * 8, b"\0" * 8, b"\x7f" * 4, rng.randbytes(16)))
    return content[:at] + new + content[at + len(new) :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)]


def _token(content: bytes, rng: random.Random) -> bytes:
    """Another token in a word's or a number's place."""
    at = _place(content, rng)
    word = re.compile(rb"[\w.+-]+|[^\w\s]").search(content, at)
    if not word:
        return content + rng.choice(TOKENS)
    return content[: word.start()] + rng.choice(TOKENS) + content[word.end() :]


def _line(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines[: rng.randrange(len(lines))] + lines if rng.random() < 0.3 else lines)


def _twice(content: bytes, rng: random.Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[at : at + rng.randrange(1, 300)] * rng.choice((2, 50)) + content[at:]


def _gone(content: bytes, rng: random.Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[at + rng.randrange(1, 300) :]


def _number(content: bytes, rng: random.Random) -> bytes:
    """A length or an offset in binary, made enormous, zero or negative."""
    at, size = _place(content, rng), rng.choice((2, 4, 8))
    value = rng.choice((0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size) - 1, 2 ** (4 * size)))
    return content[:at] + value.to_bytes(size, rng.choice(("little", "big"))) + content[at + size :]


def _inside(content: bytes, rng: random.Random) -> bytes | None:
    """The same archive with a damaged member, or one with a damaged name; None if this is no archive."""
    out = io.BytesIO()
    with suppress(Exception):  # it is damaged already, and what unpacks it raises a dozen types
        if content[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
                victim, misnamed = rng.choice(old.namelist()), rng.random() < 0.2
                for name in old.namelist():
                    member = old.read(name)
                    if name == victim:
                        name, member = (_renamed(name, rng), member) if misnamed else (name, damaged(member, rng))
                    new.writestr(name, member)
            return out.getvalue()
        if content[:2] == b"\x1f\x8b":
            return gzip.compress(damaged(gzip.decompress(content), rng), 1)
        if content[257:262] == b"ustar":
            with tarfile.open(fileobj=io.BytesIO(content)) as old, tarfile.open(fileobj=out, mode="w") as new:
                victim, misnamed = rng.choice(old.getnames()), rng.random() < 0.2
                for member in old:
                    inside = old.extractfile(member).read() if member.isfile() else b""
                    if member.name == victim and misnamed:
                        member.name = _renamed(victim, rng)
                        member.type = rng.choice((member.type, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE))
                    elif member.name == victim:
                        inside = damaged(inside, rng)
                    member.size = len(inside)
                    new.addfile(member, io.BytesIO(inside))
            return out.getvalue()
    return None


def _renamed(name: str, rng: random.Random) -> str:
    return damaged(name.encode(), rng)[:200].decode("utf-8", "replace").replace("\0", "") or "x"


# ---- one reader


class Reader:
    """One reader of ``readers.py`` in a folder of its own; a call gives it an input, and notes what it did.

    An input is the content of its file; of a reader with several files, the name of one, a line break, and the content.

    ``result`` has inputs and refused (how many), found (what was raised that should not be -> the input, in ``found``),
    ways (at how many different places inputs were refused), slowest (seconds of this process's processor time).
    """

    def __init__(self, name: str, folder: Path, found: Path):
        import readers

        self.folder, self.found, place = folder, found, folder / "files"
        place.mkdir(parents=True)
        files, self.read = readers.READERS[name](place)
        self.files = {str(path.relative_to(place)): path for path in files}
        self.whole = {path: path.read_bytes() for path in files}
        if name not in readers.NEVER_WHOLE:
            self.read()
        files[0].write_bytes(b"")
        with suppress(Exception):  # what the first refusal imports is nobody's slowness
            self.read()
        files[0].write_bytes(self.whole[files[0]])
        self.result = {"inputs": 0, "refused": 0, "found": {}, "ways": 0, "slowest": 0.0}
        self.ways: set = set()

    def split(self, given: bytes) -> tuple[bytes, Path, bytes]:
        """An input's head, file and content. One without the name of a file is for the first."""
        if len(self.files) == 1:
            return b"", next(iter(self.files.values())), given
        name, _, content = given.partition(b"\n")
        path = self.files.get(os.fsdecode(name))
        return (b"", next(iter(self.files.values())), given) if path is None else (name + b"\n", path, content)

    def seeds(self) -> list[bytes]:
        """The whole files as inputs."""
        head = len(self.files) > 1
        return [os.fsencode(f"{name}\n") * head + self.whole[path] for name, path in self.files.items()]

    def damaged(self, given: bytes, rng: random.Random) -> bytes:
        head, _, content = self.split(given)
        return head + damaged(content, rng)

    def __call__(self, given: bytes) -> bool:
        """Whether the reader refused this input at a place that is new."""
        _, path, content = self.split(given)
        _write(path, content)
        started, way, problem = time.process_time(), None, None
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(6 * SECONDS)
        try:
            self.read()
        except Hang:
            way = problem = f"no end after {SECONDS} s"
        except (Exception, SystemExit) as error:
            way = type(error), *((line.f_code, number) for line, number in traceback.walk_tb(error.__traceback__))
            problem = wrong(error, (path.stem, path.parent.name))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
        if len(self.files) > 1:
            _write(path, self.whole[path])
        self._note(given, way, problem, time.process_time() - started)
        return self._is_new(way)

    def _note(self, given: bytes, way: object, problem: str | None, seconds: float) -> None:
        self.result["inputs"] += 1
        self.result["refused"] += way is not None
        self.result["slowest"] = max(self.result["slowest"], seconds)
        if problem and problem not in self.result["found"] and len(self.result["found"]) < 50:
            self.result["found"][problem] = str(kept_input(self.found, given))
        if os.path.exists(f"{self.folder}/cache"):
            shutil.rmtree(self.folder / "cache")

    def _is_new(self, way: object) -> bool:
        new = way is not None and way not in self.ways
        if new:
            self.ways.add(way)
            self.result["ways"] = len(self.ways)
        return new


@contextmanager
def prepared(name: str, folder: Path, found: Path | None = None) -> Iterator[Reader]:
    """A reader, with its alarms set, without warnings, and with the project's folders put back at the end."""
    from fer_lib import paths

    kept = {key: getattr(paths, key) for key in ("CACHE", "RESULTS", "EXPERIMENTS", "NOTEBOOKS")}
    paths.CACHE = folder / "cache"
    before = [(number, signal.signal(number, _ring)) for number in ALARMS]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield Reader(name, folder, found or folder / "found")
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        for key, value in kept.items():
            setattr(paths, key, value)


def wrong(error: BaseException, names: tuple[str, ...]) -> str | None:
    """What is wrong with an error: its type, for a subclass of ValueError is some parser's own; or that it
    names neither the file nor its folder, or says nothing to do."""
    text = str(error)
    sort = f"{type(error).__name__}: {re.sub(NAMES, '#', text)[:160]}"
    if not (type(error) in (ValueError, TypeError) or isinstance(error, OSError)):
        return sort
    told = any(name in text for name in names) and ("; " in text or isinstance(error, OSError) and error.filename)
    return None if told else f"not in the usual form: {sort}"


def kept_input(folder: Path, given: bytes) -> Path:
    """An input's file, under the start of its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(given).hexdigest()[:12]
    path.write_bytes(given)
    return path


def _write(path: Path, content: bytes) -> None:
    """Path.write_bytes with half of its calls to the system."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(file, content)
    os.close(file)


def slug(name: str) -> str:
    """A reader's folder in the corpus."""
    return name.replace(" ", "-")


def corpus(name: str) -> list[Path]:
    return sorted((CORPUS / slug(name)).glob("[!.]*"))


def _ring(*_) -> None:
    raise Hang


# ---- two engines: each gives a reader inputs until the time is up


def with_atheris(reader: Reader, name: str, local: Path, until: float) -> None:
    """libFuzzer chooses what to damage by the code that it reached. It never returns, but ends the process."""
    import atheris

    seeds = reader.folder / "seeds"
    for given in reader.seeds():
        kept_input(seeds, given)
    local.mkdir(parents=True, exist_ok=True)
    most = 2 * max(4096, *map(len, reader.seeds()))

    def mutated(given: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            return reader.damaged(given, rng)[:most]
        head, _, content = reader.split(given)
        return head + atheris.Mutate(content, max(len(content), most - len(head)))

    def one(given: bytes) -> None:
        give(reader, given)
        if time.monotonic() > until:
            write_result(reader)
            os._exit(0)

    places = [local, seeds, *[CORPUS / slug(name)] * (CORPUS / slug(name)).is_dir()]
    kept = f"-artifact_prefix={local}/"  # what it thinks worth a file
    signals = [f"-handle_{each}=0" for each in ("abrt", "bus", "fpe", "ill", "int", "segv", "term", "xfsz")]
    limits = [f"-max_len={most}", "-len_control=0", "-cross_over=0", "-timeout=0", "-rss_limit_mb=0"]
    options = [kept, *limits, *signals, "-close_fd_mask=3", "-verbosity=1"]
    atheris.Setup([name, *options, *map(str, places)], one, custom_mutator=mutated)
    for number in ALARMS:
        signal.signal(number, _ring)
    atheris.Fuzz()


def with_hypothesis(reader: Reader, name: str, local: Path, until: float) -> None:
    """Hypothesis chooses what to damage, and how; what is refused at a new place is added to what it chooses from."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    known = reader.seeds() + [path.read_bytes() for path in (*corpus(name), *sorted(local.glob("*")))]
    log, start = sys.stderr, len(known)

    @settings(max_examples=1000, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.integers(0, 2**32), st.integers(0, 2**64), st.binary(max_size=40))
    def one(which: int, seed: int, raw: bytes) -> None:
        if time.monotonic() > until:
            return
        rng = random.Random(seed)
        head, _, content = reader.split(known[which % len(known)])
        if raw and rng.random() < 0.2:
            at = _place(content, rng)
            content = content[:at] + raw + content[at + rng.choice((0, len(raw))) :]
        bad = head + damaged(content, rng)
        if give(reader, bad):
            known.append(bad)
            kept_input(local, bad)

    for each in known[:]:
        give(reader, each)
    while time.monotonic() < until:
        one()
    print(f"#0 INITED cov: 0 corp: {start}/\n#1 DONE cov: {reader.result['ways']} corp: {len(known)}/", file=log)
    write_result(reader)


ENGINES = {"atheris": with_atheris, "hypothesis": with_hypothesis}


def give(reader: Reader, given: bytes) -> bool:
    """Call a reader; the input is written down before, and now and then what it did: it may take this process with
    it."""
    _write(reader.folder / "last", given)
    found, result = len(reader.result["found"]), reader.folder / "result.json"
    new = reader(given)
    if (
        len(reader.result["found"]) > found
        or reader.result["inputs"] % 20 == 1
        and (not result.exists() or time.time() - result.stat().st_mtime > 1)
    ):
        write_result(reader)
    return new


def write_result(reader: Reader) -> None:
    (reader.folder / "result.json").write_text(json.dumps(reader.result))


def serve() -> None:
    """For each line on stdin, the arguments of ``child``, fork a process that does it; its id and exit code go into its
    folder. What readers import is imported, and instrumented by atheris, only once."""
    for name in IMPORTED:
        import_module(name)
    for line in sys.stdin:
        given = json.loads(line)
        place = Path(given[2])
        number = os.fork()
        if not number:
            child(*given)
        (place / "pid").write_text(str(number))
        code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
        (place / "code.part").write_text(str(code))
        os.rename(place / "code.part", place / "code")


def child(name: str, engine: str, folder: str, local: str, seconds: float) -> None:
    """The process of one reader: gives it inputs for so many seconds, its start included, and ends."""
    until, place = time.monotonic() + seconds, Path(folder)
    sys.stderr = open(place / "log", "a", buffering=1)  # libFuzzer closes the streams below it
    for stream in (1, 2):
        os.dup2(sys.stderr.fileno(), stream)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with open(place / "faults", "w") as faults:
        faulthandler.enable(faults)
        try:
            with prepared(name, place, Path(local, "found")) as reader:
                ENGINES[engine](reader, name, Path(local, "corpus"), max(until, time.monotonic() + 1))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os._exit(0)


# ---- all readers


class Trial:
    """The processes of one reader, and what they did."""

    def __init__(self, name: str, engine: str, local: Path):
        self.name, self.engine, self.local = name, engine, local / slug(name)
        self.done = {"inputs": 0, "refused": 0, "found": {}, "slowest": 0.0, "new": 0, "corpus": 0}
        self.now: dict = {}

    @property
    def inputs(self) -> int:
        return self.done["inputs"] + self.now.get("inputs", 0)

    def run(self, server: subprocess.Popen, seconds: float) -> None:
        """For so many seconds: a process, and another where one crashed."""
        until = time.monotonic() + seconds
        for _ in range(CRASHES):
            folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=SCRATCH))
            try:
                if self._process(server, folder, until - time.monotonic()) or time.monotonic() > until:
                    break
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _process(self, server: subprocess.Popen, folder: Path, seconds: float) -> bool:
        """Whether it came to its end."""
        given = self.name, self.engine, str(folder), str(self.local), seconds
        server.stdin.write(json.dumps(given) + "\n")
        server.stdin.flush()
        stuck, code, log = self._wait(server, folder), folder / "code", folder / "log"
        code, log = (path.read_text(errors="replace") if path.exists() else "" for path in (code, log))
        self._read(folder)
        for name, value in self.now.items():
            if name == "found":
                self.done["found"] |= value
            elif name == "slowest":
                self.done["slowest"] = max(value, self.done["slowest"])
            elif name != "ways":
                self.done[name] += value
        self.now = {}
        covered = re.findall(r"cov: (\d+) .*?corp: (\d+)/", log.partition("INITED")[2])
        if covered:
            self.done["new"] += int(covered[-1][0]) - int(covered[0][0])
            self.done["corpus"] = int(covered[-1][1])
        if code == "0" and not stuck:
            return True
        faults = (folder / "faults").read_text(errors="replace") if (folder / "faults").exists() else ""
        lines = re.findall(r'File ".*?(\w+\.py)", line (\d+)', faults.rpartition("Current thread")[2])
        where = " < ".join(":".join(line) for line in lines[:4])
        sort = f"no end after {STUCK} s" if stuck else f"its process ended with {code or server.poll()}"
        if not (folder / "last").exists():
            self.done["found"][f"{sort}, before any input: {log[-1500:]}"] = ""
            return True
        kept = kept_input(self.local / "found", (folder / "last").read_bytes())
        self.done["found"].setdefault(f"{sort} ({where or log.strip()[-300:]})", str(kept))
        return False

    def _wait(self, server: subprocess.Popen, folder: Path) -> bool:
        """Whether it had to be ended: no new input for ``STUCK`` seconds, and the alarm was not heard."""
        signals = [signal.SIGABRT, signal.SIGKILL]  # the first tells where it is
        while not (folder / "code").exists() and server.poll() is None:
            time.sleep(0.2)
            self._read(folder)
            begun, last = folder / "pid", folder / "last"
            sign, patience = (last, STUCK) if last.exists() else (begun, 5 * STUCK)  # it has to import first
            if sign.exists() and time.time() - sign.stat().st_mtime > patience and signals:
                os.kill(int(begun.read_text()), signals.pop(0))
                time.sleep(1)
        return len(signals) < 2

    def _read(self, folder: Path) -> None:
        with suppress(OSError, ValueError):
            self.now = json.loads((folder / "result.json").read_text())


@contextmanager
def _servers(engine: str, count: int) -> Iterator[list[subprocess.Popen]]:
    """Processes of ``serve``; what they said is printed where one ended in an error."""
    places = str(Path(__file__).parent), os.environ.get("PYTHONPATH")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, places)), "TF_CPP_MIN_LOG_LEVEL": "3", "TQDM_DISABLE": "1",
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-c", LAUNCH[engine]]
    with tempfile.TemporaryFile() as log:
        pipes = {"stdin": subprocess.PIPE, "stdout": log, "stderr": log, "text": True}
        servers = [subprocess.Popen(command, env=environment, **pipes) for _ in range(count)]
        try:
            yield servers[:]
        finally:
            for server in servers:
                server.stdin.close()
                if server.wait():
                    log.seek(0)
                    print(log.read().decode("utf-8", "replace")[-2000:], file=sys.stderr)


def fuzz(names: list[str], minutes: float, engine: str, local: Path) -> dict[str, dict]:
    """Try these readers for so many minutes, as many at a time as there are cores; returns what each ``Trial`` did."""
    trials = {name: Trial(name, engine, local) for name in names}
    end, waiting, lock = time.monotonic() + 60 * minutes, len(names), threading.Lock()
    workers = min(os.cpu_count() or 1, len(names))

    def run(trial: Trial) -> None:
        nonlocal waiting
        with lock:
            share = (end - time.monotonic()) * workers / max(waiting, workers)
            waiting -= 1
            server = servers.pop()
        trial.run(server, max(share, 1))
        servers.append(server)

    bar = tqdm(total=len(names), unit=" readers", desc="Fuzzing")
    with _servers(engine, workers) as servers, ThreadPoolExecutor(workers) as pool, bar:
        jobs = [pool.submit(run, trial) for trial in trials.values()]
        while not all(job.done() for job in jobs):
            time.sleep(0.5)
            bar.n = sum(job.done() for job in jobs)
            found = sum(len(trial.done["found"] | trial.now.get("found", {})) for trial in trials.values())
            inputs = sum(trial.inputs for trial in trials.values())
            bar.set_postfix_str(f"{inputs:,} inputs, {found} found", refresh=True)
        for job in jobs:
            job.result()
    return {name: trial.done for name, trial in trials.items()}


def table(results: dict[str, dict]) -> str:
    heads = ("inputs", 10), ("read", 10), ("refused", 10), ("new", 6), ("corpus", 7), ("slowest", 9), ("found", 6)
    lines = [f"{'reader':<26} {' '.join(head.rjust(width) for head, width in heads)}"]
    for name, done in results.items():
        read = done["inputs"] - done["refused"]
        lines.append(
            f"{name:<26} {done['inputs']:>10,} {read:>10,} {done['refused']:>10,} {done['new']:>6,} "
            f"{done['corpus']:>7,} {done['slowest']:>7.2f}s {len(done['found']):>6}"
        )
        lines += [f"    {' '.join(kind.split())}\n        {kept}" for kind, kept in done["found"].items()]
    inputs, found = (sum(count) for count in zip(*((d["inputs"], len(d["found"])) for d in results.values())))
    return "\n".join([*lines, f"{inputs:,} inputs in all; {found} found that are no documented errors."])


# ---- keeping


def keep(results: dict[str, dict], engine: str, minutes: float, local: Path) -> None:
    """Add a run to ``FIGURES``, write the table of all into the docs, and put the smallest inputs that were refused in
    new ways into the corpus."""
    from fer_lib.files import writing
    from fer_lib.report import parts

    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {"minutes": 0, "runs": [], "readers": {}}
    figures["minutes"] += minutes
    figures["runs"].append({"date": time.strftime("%Y-%m-%d", time.gmtime()), "engine": engine, "minutes": minutes})
    for name, done in results.items():
        empty = {"inputs": 0, "refused": 0, "slowest": 0.0, "found": []}
        sums = figures["readers"].setdefault(name, empty)
        sums["inputs"] += done["inputs"]
        sums["refused"] += done["refused"]
        sums["slowest"] = round(max(sums["slowest"], done["slowest"]), 2)
        sums["found"] += [kind for kind in done["found"] if kind not in sums["found"]]
    writing.replace_text(FIGURES, json.dumps(figures, indent=1) + "\n")
    parts.put(parts.ROBUSTNESS, "tests/fuzz.py", summary(figures))
    for name in results:
        distil(name, local / slug(name) / "corpus")


def summary(figures: dict) -> str:
    """All runs in Markdown: a sentence, and a table to open."""
    lines = ["| reader | inputs | refused | faults found and fixed |", "|---|--:|--:|--:|"]
    for name, sums in figures["readers"].items():
        lines.append(f"| {name} | {sums['inputs']:,} | {sums['refused']:,} | {len(sums['found']) or ''} |")
    each = figures["readers"].values()
    inputs, refused, found = (
        sum(sums["inputs"] for sums in each), sum(sums["refused"] for sums in each), sum(len(s["found"]) for s in each),
    )  # fmt: skip
    days = sorted({run["date"] for run in figures["runs"]})
    engines = " and ".join(sorted({run["engine"] for run in figures["runs"]}))
    told = (
        f"**{inputs:,} damaged files** for {len(each)} readers: {refused:,} were refused, the others read, and {found} "
        f"showed a fault, which is fixed. That took {figures['minutes']:.0f} minutes on all cores in "
        f"{len(figures['runs'])} runs, with {engines} ({' to '.join(dict.fromkeys((days[0], days[-1])))})."
    )
    opened = [
        "<details><summary>All readers. A reader refused nothing where it makes anew what is damaged.</summary>",
        "",
    ]
    return "\n".join([told, "", *opened, *lines, "", "</details>", ""])


def distil(name: str, found: Path) -> None:
    """Put the smallest of some inputs into a reader's corpus, one for each new way in which it is refused, while the
    corpus stays small."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder, prepared(name, Path(folder)) as reader:
        for given in [*reader.seeds(), *(path.read_bytes() for path in corpus(name))]:
            reader(given)
        room = SMALL - sum(path.stat().st_size for path in corpus(name))
        for path in sorted(found.glob("*"), key=lambda path: path.stat().st_size)[:2000]:
            given = path.read_bytes()
            if len(given) > room:
                break
            if reader(given):
                kept_input(CORPUS / slug(name), given)
                room -= len(given)


SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where the files are that are read: in memory, if there is such a place."""
IMPORTED = (
    "fer_lib.claims.measures", "fer_lib.data.affectnet", "fer_lib.data.ckplus", "fer_lib.data.drawn_affectnet",
    "fer_lib.data.ferplus", "fer_lib.data.gaf", "fer_lib.data.near_duplicates", "fer_lib.data.sfew",
    "fer_lib.evaluation.prediction_files", "fer_lib.evaluation.unpacked", "fer_lib.live.inference",
    "fer_lib.live.scenes", "fer_lib.models.weights", "fer_lib.runs.check", "fer_lib.runs.transport",
    "made_up_fer2013", "made_up_records", "readers", "yaml",
)  # fmt: skip
"""What most readers import."""
LAUNCH = {
    "atheris": f"import atheris\nwith atheris.instrument_imports(include={list(WATCHED)}):\n"
    "    import fuzz\n    fuzz.serve()",
    "hypothesis": "import fuzz\nfuzz.serve()",
}


def main(arguments: list[str] | None = None) -> int:
    import readers

    from fer_lib import paths

    parser = argparse.ArgumentParser(prog="fuzz.py", description=__doc__.split("\n\n")[0])
    parser.add_argument("minutes", type=float, help="how long all readers together are tried")
    parser.add_argument("readers", nargs="*", metavar="READER", help="some of the readers (default: all)")
    parser.add_argument("--keep", action="store_true", help="add to tests/fuzz.json, docs/ and tests/corpus, to commit")
    here = "atheris" if find_spec("atheris") else "hypothesis"
    parser.add_argument("--engine", choices=ENGINES, default=here, help=f"what chooses the damage (default: {here})")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.readers if name not in readers.READERS]:
        parser.error(f"found the reader {unknown[0]!r}, expected some of {', '.join(readers.READERS)}")
    local = paths.RESULTS / "local" / "fuzz"
    results = fuzz(options.readers or list(readers.READERS), options.minutes, options.engine, local)
    print(table(results))
    if options.keep:
        keep(results, options.engine, options.minutes, local)
    return int(any(done["found"] for done in results.values()))


if __name__ == "__main__":
    sys.exit(main())
