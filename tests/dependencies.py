"""Checks what this project takes from others: its lock files, and the environments that were built from them.

``make audit-dependencies`` calls it. It says what was checked, what was found, and what could not be asked and why; it
ends with 1 where something was found. Without network everything is checked but known vulnerabilities.
"""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.lock", "requirements-gpu.lock", "requirements-jax.lock", "requirements-audit.lock",
         "bench/peers.lock")  # fmt: skip
PAGE = "web/package-lock.json"
ENVIRONMENTS = {
    ".venv": ("requirements.lock", "requirements-gpu.lock"), ".venv-jax": ("requirements-jax.lock",),
    ".venv-peers": ("bench/peers.lock",), ".venv-audit": ("requirements-audit.lock",),
}  # fmt: skip
"""Folders, and the locks that they may be built from."""
UNLOCKED = {"fer-lib", "pip", "setuptools"}
"""What an environment may have beside its lock: this project, and what Python brings itself."""
STARTING = {"distutils-precedence.pth", "_fer_lib.pth", "_virtualenv.pth", "a1_coverage.pth"}
"""Files whose code Python runs whenever it starts that are known: those of setuptools, this project, uv and
coverage, which nbval asks for."""

COMPILED = "__pycache__"
"""Folders of compiled files, which Python writes beside their sources and makes anew; they are not checked."""


def locked(lock: Path) -> tuple[list[tuple[str, str, str]], list[str]]:
    """A lock's packages, each its name, version and marker, and what is wrong with its lines."""
    packages, wrong = [], []
    text = re.sub(r"\\\n", " ", lock.read_text())
    for line in filter(None, (line.partition(" #")[0].strip() for line in text.splitlines())):
        match = re.fullmatch(r"([\w.-]+)==([\w.!+]+)(?:\s*;\s*([^-].*?))?((?:\s+--hash=sha256:[0-9a-f]{64})+)", line)
        if match:
            packages.append((canonicalize_name(match[1]), match[2], match[3] or ""))
        elif not line.startswith("#"):
            wrong.append(f"{line[:60]!r}: expected NAME==VERSION and its SHA-256")
    return packages, wrong if packages else [*wrong, "no package"]


def page_locked(lock: Path) -> tuple[dict[str, str], list[str]]:
    """The same of npm's lock: by name the version."""
    packages, wrong = {}, []
    for name, about in json.loads(lock.read_text())["packages"].items():
        if not name:
            continue
        packages[name.removeprefix("node_modules/")] = about["version"]
        if not re.fullmatch(r"sha512-[\w+/]{86}==", about.get("integrity", "")):
            wrong.append(f"{name}: no SHA-512")
        if "resolved" in about:
            wrong.append(f"{name}: {about['resolved']}; expected no address, so that each takes his own registry")
    return packages, wrong


def against_lock(installed: list[Distribution], packages: list[tuple[str, str, str]], python: str) -> list[str]:
    """What is installed otherwise than a lock has it, for a version of Python such as "3.11.7"."""
    there = {canonicalize_name(each.metadata["Name"]): each.version for each in installed}
    variables = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    wanted = {name: version for name, version, marker in packages if not marker or Marker(marker).evaluate(variables)}
    wrong = [f"{name} {there.get(name, 'is not there')}, in the lock {wanted[name]}" for name in sorted(wanted)
             if there.get(name) != wanted[name] and name not in UNLOCKED & there.keys()]  # fmt: skip
    return wrong + [f"{name} {there[name]}, not in the lock" for name in sorted(there.keys() - wanted - UNLOCKED)]


def changed(distribution: Distribution) -> list[str]:
    """The files of a package that are not as its wheel brought them. What is compiled is made here, also where a wheel
    brought it."""
    wrong = []
    for file in distribution.files or []:
        if file.hash is None or file.parent.name == COMPILED:
            continue
        path = file.locate()
        if not path.is_file():
            wrong.append(f"{distribution.metadata['Name']}: {file} is not there")
            continue
        with open(path, "rb") as opened:
            digest = hashlib.file_digest(opened, file.hash.mode).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            wrong.append(f"{distribution.metadata['Name']}: {file} was changed")
    return wrong


def unknown(folder: Path, installed: list[Distribution]) -> list[str]:
    """Code in a folder of packages that no package brought, and what Python would run whenever it starts."""
    known = {str(file.locate().resolve()) for each in installed for file in each.files or []}
    wrong = [
        f"{path.name}: runs whenever Python starts, and is not known"
        for path in folder.iterdir()
        if path.name in ("sitecustomize.py", "usercustomize.py") or path.suffix == ".pth" and path.name not in STARTING
        and (re.search(r"^import[ \t]", path.read_text(errors="replace"), re.MULTILINE))
    ]  # fmt: skip
    code = (path for ending in ("py", "pyc", "so") for path in folder.rglob(f"*.{ending}"))
    return wrong + [
        f"{path.relative_to(folder)}: no package brought it"
        for path in code
        if path.parent.name != COMPILED and str(path.resolve()) not in known
    ]


def environment(folder: Path, locks: tuple[str, ...]) -> list[str]:
    """What is wrong with an environment."""
    python = folder / "bin" / "python"
    asked = "import sys, sysconfig; print(sysconfig.get_path('purelib')); print('%d.%d.%d' % sys.version_info[:3])"
    purelib, version = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    installed = list(distributions(path=[purelib]))
    lock = next((lock for lock in locks if (folder / f".installed-{Path(lock).name}").exists()), locks[0])
    with ThreadPoolExecutor() as side_by_side:
        wrong = [line for lines in side_by_side.map(changed, installed) for line in lines]
    wrong += unknown(Path(purelib), installed)
    return wrong + against_lock(installed, locked(ROOT / lock)[0], version)


def vulnerable(lock: str) -> tuple[list[str], str]:
    """The known vulnerabilities of a lock's packages, and why not all could be asked for ("": all were)."""
    program = ROOT / ".venv-audit" / "bin" / "pip-audit"
    if not program.exists():
        return [], "pip-audit is not here (.venv-audit could not be built)"
    command = [program, "--disable-pip", "--no-deps", "--progress-spinner=off", "--format=json", "-r", ROOT / lock]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        return [], f"pip-audit got no answer ({said[-1].strip()[:150]})"
    found = [
        f"{each['name']} {each['version']}: {known['id']}, mended in {', '.join(known['fix_versions']) or 'no version'}"
        for each in packages
        for known in each.get("vulns", [])
    ]
    skipped = sum("skip_reason" in each for each in packages)  # to pip-audit itself this is a success
    return found, f"the database does not know {skipped} of {len(packages)} packages" if skipped else ""


def page_vulnerable() -> tuple[list[str], str]:
    """The same of the page's packages."""
    if not shutil.which("npm"):
        return [], "npm is not here"
    done = subprocess.run(["npm", "audit", "--json"], cwd=ROOT / "web", capture_output=True, text=True)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {}
    if "vulnerabilities" not in answer:
        return [], f"npm got no answer ({answer.get('message') or done.stderr.strip() or 'it said nothing'})"[:200]
    return [f"{name}: {about['severity']}" for name, about in answer["vulnerabilities"].items()], ""


def main() -> int:
    findings, open_questions = [], []

    def tell(what: str, wrong: list[str]) -> None:
        print(f"{what}: {'ok' if not wrong else f'{len(wrong)} found'}", flush=True)
        for line in wrong[:50]:
            print(f"  {line}")
        findings.extend(wrong)

    for lock in LOCKS:
        packages, wrong = locked(ROOT / lock)
        tell(
            f"{lock}: each of {len(packages)} packages has one version and its checksums, none comes from an address",
            wrong,
        )
    packages, wrong = page_locked(ROOT / PAGE)
    tell(f"{PAGE}: each of {len(packages)} packages has one version and its checksum", wrong)
    for name, locks in ENVIRONMENTS.items():
        if (ROOT / name).is_dir():
            tell(
                f"{name}: what is installed is what its lock has, and no file of it was changed",
                environment(ROOT / name, locks),
            )
        else:
            print(f"{name}: is not here")
    asked = {lock: lambda lock=lock: vulnerable(lock) for lock in LOCKS} | {PAGE: page_vulnerable}
    for lock, ask in asked.items():
        found, why = ask()
        if why:
            print(f"{lock}: NOT ALL ASKED for known vulnerabilities: {why}")
            open_questions.append(lock)
        if found or not why:
            tell(f"{lock}: known vulnerabilities", found)
    print("System packages, such as Chromium and Slurm, are apt's: no lock holds them, and none is checked here.")
    print(f"{len(findings)} found." + f" Whether {', '.join(open_questions)} have known vulnerabilities is still to be "
          "asked, on a machine with network." * bool(open_questions))  # fmt: skip
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
