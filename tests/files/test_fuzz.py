"""``make fuzz`` in small: some damaged files for every reader, the corpus, and whether a bad reader is found at all."""

import json
import os
import random
import signal
from importlib.util import find_spec
from pathlib import Path

import fuzz
import pytest
import readers

from fer_lib.report import parts

COUNT = 20
MARKED = [pytest.param(name, marks=[pytest.mark.slow] * (name in readers.SLOW)) for name in readers.READERS]


@pytest.mark.parametrize("name", MARKED)
def test_a_damaged_file_and_the_corpus_are_read_or_refused_in_the_usual_form(name, tmp_path):
    rng, corpus = random.Random(f"{name} 18"), fuzz.corpus(name)
    with fuzz.prepared(name, tmp_path) as reader:
        whole = reader.seeds()
        for _ in range(COUNT):
            reader(reader.damaged(rng.choice(whole), rng))
        for path in corpus:
            reader(path.read_bytes())
    assert reader.result["found"] == {}
    assert reader.result["inputs"] == COUNT + len(corpus)


def test_the_corpus_is_small_and_of_readers_that_are_there():
    folders = [path for path in fuzz.CORPUS.iterdir() if not path.name.startswith(".")]
    assert {path.name for path in folders} <= {fuzz.slug(name) for name in readers.READERS}
    assert sum(path.stat().st_size for path in fuzz.CORPUS.rglob("*")) < 1_000_000


def test_the_table_in_the_docs_is_that_of_the_kept_figures():
    page = parts.ROBUSTNESS
    part = fuzz.summary(json.loads(fuzz.FIGURES.read_text()))
    assert parts.with_part(page, "tests/fuzz.py", part) == page.read_text()


# ---- the engines, on readers that are made to be bad


BAD = """
import os, signal, time
import readers

def prepare(folder):
    path = readers.put(folder / "letters", "good\\n")
    acts = [crashes, hangs, *[raises] * 4, *[says_no_place] * 4, *[refuses] * 6]
    def read():
        content = path.read_bytes()
        if content[:4] != b"good":
            acts[(len(acts) - 1 + sum(content)) % len(acts)](path)  # an empty one is refused
    return [path], read

def raises(path):
    raise KeyError("a parser's own error")

def refuses(path):
    raise ValueError(f"{path}: found another beginning, expected 'good'; correct it")

def hangs(path):
    while True:
        pass

def crashes(path):
    os.kill(os.getpid(), signal.SIGSEGV)

def says_no_place(path):
    raise ValueError("found another beginning")

def deaf(folder):
    path = readers.put(folder / "letters", "good\\n")
    def read():
        if path.read_bytes()[:4] not in (b"good", b""):
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGPROF])
            time.sleep(600)
    return [path], read

def good(folder):
    path = readers.put(folder / "letters", "good\\n")
    def read():
        if path.read_bytes()[:4] != b"good":
            refuses(path)
    return [path], read

readers.READERS = {"bad": prepare, "deaf": deaf, "good": good}
"""
ENGINES = [
    pytest.param("atheris", marks=pytest.mark.skipif(not find_spec("atheris"), reason="atheris has no wheel for here")),
    "hypothesis",
]


@pytest.fixture(params=ENGINES)
def tried(request, tmp_path, monkeypatch):
    """A function: what ``fuzz.fuzz`` says of a made-up reader after some seconds."""
    (tmp_path / "bad.py").write_text(BAD)
    places = str(tmp_path), os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, places)))
    short = "import bad; fuzz.SECONDS = 1; fuzz.IMPORTED = (); fuzz.serve("
    monkeypatch.setitem(fuzz.LAUNCH, request.param, fuzz.LAUNCH[request.param].replace("fuzz.serve(", short))

    def try_(name: str, seconds: float) -> dict:
        return fuzz.fuzz([name], seconds / 60, request.param, tmp_path / "local")[name]

    return try_


def test_what_a_bad_reader_does_is_found_and_each_input_kept(tried):
    """Until it crashed it has gone on, and after that another process does."""
    found = {}
    for _ in range(10):
        found |= tried("bad", 4)["found"]
        if len(found) >= 4:
            break
    kinds = "KeyError: #", "not in the usual form: ValueError: found another beginning", "no end after 1 s"
    assert {kind for kind in found if not kind.startswith("its process")} == set(kinds)
    (crash,) = found.keys() - set(kinds)
    assert crash.startswith(f"its process ended with {-signal.SIGSEGV} (bad.py:")
    assert len({Path(path).read_bytes() for path in found.values()}) == 4
    assert not any(Path(path).read_bytes().startswith(b"good") for path in found.values())


@pytest.mark.slow
def test_a_reader_that_hears_no_alarm_is_ended(tried, monkeypatch):
    monkeypatch.setattr(fuzz, "CRASHES", 1)
    monkeypatch.setattr(fuzz, "STUCK", 8)
    (kind,) = tried("deaf", 1)["found"]
    assert kind.startswith("no end after 8 s (bad.py:")


def test_a_good_reader_is_given_many_inputs_and_nothing_is_found(tried):
    done = tried("good", 2)
    assert done["found"] == {} and done["inputs"] > 20 and done["refused"] > 0
    assert done["corpus"] > 0 and done["slowest"] < 1
