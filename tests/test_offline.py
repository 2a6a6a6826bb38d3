"""Nothing phones home: the study, the report, scoring and the live module connect to no other machine, nor try to.

Each command runs where there is no network (``unshare``), and every attempt is noted: those of Python by an audit hook
in each process, those of native code by ``strace``. Without either of the two programs the other ways still hold. The
page in the browser is ``web/test_demo.py``'s.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import film
import made_up_fer2013
import pytest
from small_study import NETWORK, TREE, Study

from fer_lib import paths

HOOK = """
import ipaddress, os, sys

def heard(event, arguments):
    asked = event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
    if asked or event in ("socket.connect", "socket.sendto"):
        place = arguments[0 if asked else 1]
        host = place[0] if isinstance(place, tuple) else place
        if asked or isinstance(place, tuple):
            if host in ("", "localhost", None) or str(host).startswith(("127.", "::1")):
                return
            with open(os.environ["FER_TEST_HEARD"], "a") as file:
                print(event, place, "by", sys.argv, file=file)
            raise OSError(f"{event} {place}: no network in this test")

sys.addaudithook(heard)
"""
ELSEWHERE = re.compile(
    r"sa_family=AF_INET6?.*?(?:inet_addr\(\"|inet_pton\(AF_INET6, \")(?!127\.|::1\"|0\.0\.0\.0|::\")"
)
QUIET = [
    "strace",
    "-f",
    "-qq",
    "--seccomp-bpf",
    "-e",
    "trace=connect,sendto,sendmsg,sendmmsg",
    "-e",
    "signal=none",
    "-o",
]
ALONE = ["unshare", "-n", "sh", "-c", 'ip link set lo up 2>/dev/null || ifconfig lo up; exec "$@"', "sh"]


def works(*command: str) -> bool:
    return bool(shutil.which(command[0])) and not subprocess.run(command, capture_output=True).returncode


def attempts(folder: Path, command: list[str], **options) -> tuple[subprocess.CompletedProcess, list[str]]:
    """What a command gave, and what it tried to reach beyond this machine."""
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(HOOK)
    heard, traced = folder / "heard.txt", folder / "traced.txt"
    environment = options.pop("env", os.environ) | {"FER_TEST_HEARD": str(heard), "TF_CPP_MIN_LOG_LEVEL": "3"}
    found = environment.get("PYTHONPATH", str(paths.ROOT))
    environment["PYTHONPATH"] = f"{folder / 'hook'}{os.pathsep}{found}"
    if works(*QUIET, str(folder / "trial.txt"), "true"):
        command = [*QUIET, str(traced), *command]
    if works(*ALONE, sys.executable, "-c", "import socket; socket.create_server(('127.0.0.1', 0)).accept"):
        command = [*ALONE, *command]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, **options)
    tried = heard.read_text().splitlines() if heard.exists() else []
    if traced.exists():
        tried += [line for line in traced.read_text().splitlines() if ELSEWHERE.search(line)]
    return done, tried


def test_an_attempt_is_noticed_whoever_makes_it(tmp_path):
    """Of Python's own, and, where ``strace`` is, of native code, which no hook hears."""
    code = "import socket; socket.create_connection(('192.0.2.1', 9), 1)"
    _, tried = attempts(tmp_path, [sys.executable, "-c", code])
    assert tried and "192.0.2.1" in tried[0]
    if works(*QUIET, str(tmp_path / "trial.txt"), "true"):
        (tmp_path / "native").mkdir()
        _, tried = attempts(tmp_path / "native", [sys.executable, "-S", "-c", code])  # -S: no hook
        assert tried and 'inet_addr("192.0.2.1")' in tried[0]


def test_live_reaches_nothing(tmp_path):
    picture = tmp_path / "astronaut.png"
    from PIL import Image

    Image.fromarray(film.astronaut()).save(picture)
    command = [sys.executable, "-m", "fer_lib", "live", "--source", str(picture), "--json"]
    done, tried = attempts(tmp_path, command)
    assert (done.returncode, tried) == (0, []), done.stderr
    assert "happy" in done.stdout


def test_scoring_reaches_nothing(tmp_path):
    arrays = made_up_fer2013.made_up(rows=60)
    data = made_up_fer2013.write(tmp_path / "fer2013.csv", made_up_fer2013.csv_text(*arrays))
    rows = [row for row, part in enumerate(arrays[2]) if part]
    (tmp_path / "mine.csv").write_text("row,emotion\n" + "".join(f"{row},3\n" for row in rows))
    environment = {**os.environ, "FER2013": str(data), "FER_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "fer_lib", "score", str(tmp_path / "mine.csv")]
    done, tried = attempts(tmp_path, command, env=environment)
    assert (done.returncode, tried) == (0, []), done.stderr
    assert "PrivateTest" in done.stdout


@pytest.mark.slow
def test_a_study_and_its_report_reach_nothing(tmp_path):
    (tmp_path / "study").mkdir()
    study = Study(tmp_path / "study", tree=TREE, network=NETWORK)
    # Snakemake's plugin for Slurm asks one that is installed, wherever runs are made, and Slurm's own client looks for
    # its controller by DNS. Here it is as if none were installed.
    (tmp_path / "scontrol").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "scontrol").chmod(0o755)
    study.environment["PATH"] = f"{tmp_path}:{study.environment['PATH']}"
    command = [sys.executable, "-m", "fer_lib", "reproduce", "--profile", "smoke"]
    done, tried = attempts(tmp_path, command, env=study.environment, cwd=study.folder)
    assert (done.returncode, tried) == (0, []), done.stdout + done.stderr
    assert (study.local / "report.html").exists()
