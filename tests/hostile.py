"""Reads files that were made to do harm, each in a process of its own, and measures what that costs.

``Reading`` starts this file as a program, which loads the readers once and forks for each file.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import warnings
from pathlib import Path

LONGEST = 60
"""Seconds after which a reader is taken to hang."""
MOST = 6 * 2**30
"""Bytes of address space that a reader gets beyond the program's own: what asks for more fails, not the machine."""


class Reading:
    """A program that reads files; ``tried`` says what became of one. To be used in a ``with`` statement."""

    def __enter__(self):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.program = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        return self

    def __exit__(self, *error):
        self.program.stdin.close()
        self.program.wait()

    def tried(self, reader: str, path: Path) -> dict:
        """``error``, its type's name and words, "" where the file was read; ``seconds`` of a processor; and
        ``megabytes`` of memory at most, beyond those of the loaded program. Both count what the reader starts, too."""
        print(json.dumps([reader, os.fsdecode(path)]), file=self.program.stdin, flush=True)
        return json.loads(self.program.stdout.readline())


def readers() -> dict:
    """What reads a file of each kind, by name."""
    import made_up_records

    from fer_lib import paths
    from fer_lib.data import affectnet, ckplus, fer2013, ferplus, sfew
    from fer_lib.evaluation import prediction_files, records
    from fer_lib.files import arrays, documents, pictures
    from fer_lib.live import inference, sources
    from fer_lib.models import weight_files
    from fer_lib.runs import transport

    faces = made_up_records.faces()
    weight_files.LONGEST = 10

    def animation(path):
        content = pictures.read(path)
        pictures.count(content)
        return [None for _ in pictures.animation(content, path)]

    def imported(path):
        paths.RESULTS = path.parent / "results"
        if transport.import_records(path):
            raise ValueError("refused")

    def cached(path):
        paths.CACHE = path.parent / "cache"
        return path

    return {
        "affectnet": lambda path: affectnet.load(cached(path)),
        "animation": animation,
        "ckplus": ckplus.load,
        "fer2013": lambda path: fer2013.load(cached(path)),
        "ferplus": ferplus.load,
        "imported": imported,
        "json": documents.read_json,
        "network": lambda path: inference.load(path),
        "npy": lambda path: arrays.map_npy(path, "an array", "make it again").sum(),
        "npz": lambda path: arrays.read_npz(path, path, "arrays", "make it again"),
        "picture": lambda path: pictures.as_bgr(path),
        "predictions": lambda path: prediction_files.read(str(path), faces),
        "record": lambda path: records.check(records.read(path)),
        "sfew": sfew.load,
        "source": lambda path: [None for _ in sources.frames(path)],
        "weights": weight_files.read,
        "yaml": documents.read_yaml,
    }


def _trial(read, path: Path) -> dict:
    back, out = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(LONGEST)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        with open("/proc/self/statm") as file:
            size, resident = (int(each) * resource.getpagesize() for each in file.read().split()[:2])
        resource.setrlimit(resource.RLIMIT_AS, (size + MOST, size + MOST))
        error = ""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
        except BaseException as raised:
            error = f"{type(raised).__name__}: {raised}"
        os.write(out, json.dumps([resident, error[:1000]]).encode())
        os._exit(0)
    os.close(out)
    _, status, used = os.wait4(child, 0)
    with open(back, "rb") as file:
        said = file.read()
    resident, error = json.loads(said) if said else (0, f"ended by signal {os.waitstatus_to_exitcode(status)}")
    megabytes = (used.ru_maxrss * 1024 - resident) / 1e6
    return {"error": error, "seconds": used.ru_utime + used.ru_stime, "megabytes": megabytes}


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    known = readers()
    for line in sys.stdin:
        reader, path = json.loads(line)
        print(json.dumps(_trial(known[reader], Path(path))), file=answers, flush=True)
