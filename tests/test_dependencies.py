"""What is taken from others: the locks in git are whole, and an environment that was tampered with is found out."""

import base64
import hashlib
import json
from importlib.metadata import distributions
from pathlib import Path

import dependencies
import pytest

ELSEWHERE = "https://example.com"
HASH = f"--hash=sha256:{'0' * 64}"


@pytest.mark.parametrize("lock", dependencies.LOCKS)
def test_each_lock_has_one_version_and_checksums_of_every_package(lock):
    packages, wrong = dependencies.locked(dependencies.ROOT / lock)
    assert wrong == [] and len(packages) > 20


def test_the_page_s_lock_has_a_checksum_of_every_package_and_no_address():
    packages, wrong = dependencies.page_locked(dependencies.ROOT / dependencies.PAGE)
    asked = json.loads((dependencies.ROOT / "web" / "package.json").read_text())["dependencies"]
    assert wrong == [] and asked.items() <= packages.items()


@pytest.mark.parametrize(
    "line",
    [
        "numpy==2.4.6",
        f"numpy>=2 {HASH}",
        f"numpy @ {ELSEWHERE}/numpy.whl {HASH}",
        f"git+{ELSEWHERE}/numpy {HASH}",
        f"--extra-index-url {ELSEWHERE}",
        "-e .",
        f"numpy==2.4.6 {HASH[:-1]}",
    ],
)
def test_a_line_without_a_version_or_a_checksum_or_from_an_address_is_found(tmp_path, line):
    good = f'six==1.17 ; python_version < "4" \\\n    {HASH} \\\n    {HASH}\n    # via numpy\n'
    (tmp_path / "x.lock").write_text(f"# by make\n{good}{line}\n")
    packages, wrong = dependencies.locked(tmp_path / "x.lock")
    assert packages == [("six", "1.17", 'python_version < "4"')] and len(wrong) == 1


def installed(folder: Path, code: str = "print(1)\n") -> Path:
    """A folder of packages with one of them, as an installer leaves it."""
    (folder / "six-1.17.dist-info").mkdir()
    (folder / "six.py").write_text(code)
    digest = base64.urlsafe_b64encode(hashlib.sha256(code.encode()).digest()).rstrip(b"=").decode()
    (folder / "six-1.17.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: six\nVersion: 1.17\n")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "six.pyc").write_bytes(b"compiled here")
    files = [f"six.py,sha256={digest},9", f"__pycache__/six.pyc,sha256={digest},9", "six-1.17.dist-info/METADATA,,"]
    (folder / "six-1.17.dist-info" / "RECORD").write_text("\n".join(files))
    return folder


def wrong(folder: Path) -> list[str]:
    packages = list(distributions(path=[str(folder)]))
    lock = [("six", "1.17", ""), ("tomli", "2.0", 'python_version < "3.11"')]
    changed = [line for each in packages for line in dependencies.changed(each)]
    return changed + dependencies.unknown(folder, packages) + dependencies.against_lock(packages, lock, "3.11.7")


def test_an_environment_as_its_lock_has_it_is_whole(tmp_path):
    (installed(tmp_path) / "paths.pth").write_text("/somewhere\n")  # it adds a folder, and runs nothing
    assert wrong(tmp_path) == []


TAMPERED = {
    "a changed file": (lambda folder: (folder / "six.py").write_text("print(2)\n"), "six: six.py was changed"),
    "a file that is gone": (lambda folder: (folder / "six.py").unlink(), "six: six.py is not there"),
    "code of nobody": (lambda folder: (folder / "seven.py").write_text(""), "seven.py: no package brought it"),
    "compiled code of nobody": (
        lambda folder: (folder / "seven.pyc").write_bytes(b""),
        "seven.pyc: no package brought it",
    ),
    "what runs at the start": (
        lambda folder: (folder / "a.pth").write_text("import os; os.getcwd()\n"),
        "a.pth: runs whenever Python starts, and is not known",
    ),
    "another version": (
        lambda folder: (folder / "six-1.17.dist-info" / "METADATA").write_text("Name: six\nVersion: 1.18\n"),
        "six 1.18, in the lock 1.17",
    ),
    "another package": (
        lambda folder: (folder / "six-1.17.dist-info" / "METADATA").write_text("Name: sixx\nVersion: 1.17\n"),
        "sixx 1.17, not in the lock",
    ),
}


@pytest.mark.parametrize(("how", "found"), TAMPERED.values(), ids=TAMPERED)
def test_an_environment_that_was_tampered_with_is_found_out(tmp_path, how, found):
    how(installed(tmp_path))
    assert found in wrong(tmp_path)


ANSWERS = {
    "nothing known": ('{"dependencies": [{"name": "six", "version": "1", "vulns": []}]}', [], ""),
    "something known": (
        '{"dependencies": [{"name": "six", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}]}',
        ["six 1: PYSEC-1, mended in 2"],
        "",
    ),
    "packages that it does not know": (
        '{"dependencies": [{"name": "six", "skip_reason": "not found"}, {"name": "a", "version": "1", "vulns": []}]}',
        [],
        "the database does not know 1 of 2 packages",
    ),
    "no answer": ("", [], "pip-audit got no answer (no network)"),
}


@pytest.mark.parametrize(("answer", "found", "why"), ANSWERS.values(), ids=ANSWERS)
def test_what_could_not_be_asked_is_not_called_good(tmp_path, monkeypatch, answer, found, why):
    program = tmp_path / ".venv-audit" / "bin" / "pip-audit"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'no network' >&2\ncat <<'END'\n{answer}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setattr(dependencies, "ROOT", tmp_path)
    assert dependencies.vulnerable("x.lock") == (found, why)
