"""Locks and lives that end with their owner, however he ends."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fer_lib import paths, system
from fer_lib.runs import notebooks

HOLD = """
import sys, time, pathlib
from fer_lib import system
with system.locked(pathlib.Path(sys.argv[1]), "it") as lock:
    {then}
    print("held", flush=True)
    time.sleep(60)
"""
# A parent that tells its child's id and waits to be killed.
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {child!r}, str(os.getpid())], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""
CHILD = """
import sys, time
from fer_lib import system
{before}
system.end_with(int(sys.argv[1]))
print("ready", flush=True)
time.sleep(60)
"""
# Runs a notebook whose kernel holds a lock.
EXECUTE = """
import sys, pathlib
from fer_lib import paths, system
from fer_lib.runs import notebooks
paths.NOTEBOOKS = folder = pathlib.Path(sys.argv[1])
with system.locked(folder / "lock", "it") as lock:
    print(notebooks.execute("notebook", folder / "out.ipynb", {}, "", lock), flush=True)
"""
DEAF = """
import ctypes, os
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 0)
os.getppid = lambda parent=os.getppid(): parent
"""


def start(code: str, *arguments) -> subprocess.Popen:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=paths.ROOT, text=True)


def gone(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    try:
        process = psutil.Process(pid)
        psutil.wait_procs([process], timeout=10)
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()


def test_a_lock_is_refused_while_held_and_goes_with_its_owner(tmp_path):
    path = tmp_path / "lock"
    holder = start(HOLD.format(then=""), path)
    assert holder.stdout.readline() == "held\n"
    assert system.is_locked(path)
    with pytest.raises(RuntimeError, match="it is already under way"), system.locked(path, "it", patience=0):
        pass
    kill(holder)
    with system.locked(path, "it"):
        assert system.is_locked(path)
    assert not system.is_locked(path)
    assert not system.is_locked(tmp_path / "absent")


def test_a_lock_outlives_its_owner_in_a_child_that_was_given_it(tmp_path):
    path = tmp_path / "lock"
    give = "import subprocess; print(subprocess.Popen(['sleep', '60'], pass_fds=[lock]).pid)"
    holder = start(HOLD.format(then=give), path)
    child = int(holder.stdout.readline())
    holder.stdout.readline()
    kill(holder)
    assert system.is_locked(path)
    psutil.Process(child).kill()
    with system.locked(path, "it"):
        pass


@pytest.mark.parametrize("before", ["", "system._prctl = None"], ids=["here", "without Linux"])
def test_a_process_ends_with_its_parent(before):
    parent = start(PARENT.format(child=CHILD.format(before=before)))
    child = int(parent.stdout.readline())
    kill(parent)
    assert gone(child)


@pytest.mark.parametrize("before", ["", "system._prctl = None"], ids=["here", "without Linux"])
def test_a_process_whose_parent_is_gone_already_ends_at_once(before):
    process = start(CHILD.format(before=before), 1)
    assert process.wait() == -9


@pytest.fixture
def notebook(tmp_path):
    """Write a notebook of one cell, which tells its process, does something, and then waits for long."""

    def write(code: str) -> Path:
        tell = "import os, pathlib, sys, time\npathlib.Path('{}').write_text(str(os.getpid()))\n"
        there = f"\nos.replace('{tmp_path / 'partial'}', '{tmp_path / 'pid'}')\ntime.sleep(60)"
        source = {"parameters": "", "work": tell.format(tmp_path / "partial") + code + there}
        same = {"cell_type": "code", "execution_count": None, "outputs": []}
        cells = [same | {"id": key, "metadata": {"tags": [key]}, "source": source[key]} for key in source]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        content = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
        (tmp_path / "notebook.ipynb").write_text(json.dumps(content))
        return tmp_path

    return write


def kernel_of(folder: Path, owner: subprocess.Popen) -> int:
    while not (folder / "pid").exists():
        assert owner.poll() is None
        time.sleep(0.05)
    return int((folder / "pid").read_text())


def test_a_kernel_ends_with_its_owner(notebook):
    folder = notebook("")
    owner = start(EXECUTE, folder)
    kernel = kernel_of(folder, owner)
    kill(owner)
    assert gone(kernel)
    assert not system.is_locked(folder / "lock")


def test_a_kernel_that_survives_its_owner_keeps_the_lock(notebook):
    folder = notebook(DEAF)
    owner = start(EXECUTE, folder)
    kernel = kernel_of(folder, owner)
    kill(owner)
    time.sleep(2)  # ipykernel's own look-out comes by once a second
    assert psutil.pid_exists(kernel)
    assert system.is_locked(folder / "lock")
    psutil.Process(kernel).kill()
    with system.locked(folder / "lock", "it"):
        pass


TELL = """
from fer_lib import system
for k in range(4):
    system.tell(f"step {k} of 4")
    time.sleep(1.5)
print("all done", flush=True)
time.sleep = print  # what follows would wait
"""


def test_while_nothing_is_printed_a_run_tells_how_far_it_is(notebook, monkeypatch, capsys):
    """In a log a line now and then, none of which the executed notebook keeps."""
    folder = notebook(TELL)
    monkeypatch.setattr(paths, "NOTEBOOKS", folder)
    monkeypatch.setattr(notebooks, "QUIET", 1.2)
    notebooks.execute("notebook", folder / "out.ipynb", {}, "it: ")
    printed = capsys.readouterr().out
    assert re.search(r"^it: step [0-3] of 4, 00:00:\d\d so far$", printed, re.MULTILINE)
    assert "it: all done\n" in printed and "\r" not in printed
    assert "step" not in "".join(map(str, json.loads((folder / "out.ipynb").read_text())["cells"][1]["outputs"][:1]))
    assert not (folder / "out.progress").exists()


def test_on_a_terminal_the_last_line_is_live_and_lines_go_above_it(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "30")
    terminal = notebooks._Terminal("it: ")
    terminal.show("epoch 1/2  50 % of the batches, about an hour", 1)
    terminal.write("epoch 1/2  done\n")
    terminal.clear()
    live = f"{notebooks.CLEAR}{'50 % of the batches, about an hour'[-29:]}"
    assert capsys.readouterr().out == f"{live}{notebooks.CLEAR}it: epoch 1/2  done\n{notebooks.CLEAR}"


def test_a_long_run_tells_less_often(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(notebooks.time, "monotonic", lambda: now[0])
    terminal, lines = notebooks._Terminal(""), []
    for second in range(4 * 3600):
        now[0] = float(second)
        terminal.show("at work", now[0])
        if capsys.readouterr().out:
            lines.append(second)
    gaps = [after - before for before, after in zip([0, *lines], lines)]
    assert max(gaps[:30]) <= 16 and max(gaps) <= 60 and len(lines) < 350


def test_word_is_left_only_where_somebody_asks_and_not_too_often(tmp_path, monkeypatch):
    monkeypatch.delenv(system.PROGRESS, raising=False)
    system.tell("nobody asks")
    file = tmp_path / "word"
    monkeypatch.setenv(system.PROGRESS, str(file))
    system.tell("one")
    system.tell("two", now=False)
    assert file.read_text() == "one"
    monkeypatch.setattr(system, "PROGRESS_EVERY", 0)
    system.tell("three", now=False)
    assert file.read_text() == "three"
    monkeypatch.setenv(system.PROGRESS, str(tmp_path / "none" / "word"))
    system.tell("no folder: no error")


def test_a_duration_may_last_days():
    assert [system.clock(each) for each in (-1, 59.6, 3661, 90_000)] == ["00:00:00", "00:01:00", "01:01:01", "25:00:00"]


def test_a_killed_kernel_is_reported_with_its_last_words(notebook):
    folder = notebook("os.write(2, b'out of memory, as it were\\n')")
    owner = start(EXECUTE, folder)
    psutil.Process(kernel_of(folder, owner)).kill()
    output = owner.communicate()[0]
    assert "Kernel died (killed, or out of memory?)" in output
    assert "out of memory, as it were" in output


def test_who_is_killed_leaves_no_temporary_file(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    folder = notebook("")
    owner = start(EXECUTE, folder)
    kernel = kernel_of(folder, owner)
    kill(owner)
    assert gone(kernel)
    assert not list((tmp_path / "temporary").iterdir())


def test_threads_are_limited_for_every_engine(monkeypatch):
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC"):
        monkeypatch.setenv(name, "9")
    system.limit_threads(2)
    code = "import os; print(*(os.environ[n] for n in ('OMP_NUM_THREADS', 'TF_NUM_INTRAOP_THREADS', 'NPROC')))"
    assert start(code).communicate()[0] == "2 2 2\n"
