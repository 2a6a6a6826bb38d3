"""Where things are. Everything hangs on the project's root, never on the working directory:
papermill runs a notebook in the caller's directory, nbval in the notebook's own."""

import os
from pathlib import Path


def named(variable: str) -> Path | None:
    """The path that an environment variable holds, absolute, its ``~`` replaced; None where it is unset or empty."""
    text = os.environ.get(variable)
    return Path(os.path.expanduser(text)).absolute() if text else None


def kind(path: Path) -> str:
    """What is at a path, in words for messages."""
    if path.is_file():
        return "a file"
    if path.is_dir():
        return "a folder"
    if path.exists():
        return "a pipe or device"
    if path.is_symlink():
        return f"a link to {os.readlink(path)}, which is not there"
    return "no such file or folder"


for _name in ("FER2013", "FERPLUS", "AFFECTNET", "CKPLUS", "SFEW", "AFEW", "GAF", "FER_CACHE"):
    # Made absolute once, in the folder of the call: the processes that make runs have another, and inherit these.
    if _path := named(_name):
        os.environ[_name] = str(_path)

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
EXPERIMENTS = ROOT / "experiments"
CLAIMS = ROOT / "claims"
DATA = ROOT / "data"
CACHE = named("FER_CACHE") or DATA / "cache"
RESULTS = ROOT / "results"

PROFILES = {
    "smoke": "drawn faces, 128 training rows, two epochs: shows that everything runs, says nothing of the papers",
    "quick": "the real FER2013, but a tenth of Training's rows for each network and one seed: a look at every row of "
    "the papers' tables, not their protocol",
    "full": "the real FER2013 under the papers' protocol",
    "copy": "a FER2013 other than the official one, such as the copy as JPEG pictures, under the papers' protocol",
}
"""What is run on which data, and so where the results go."""


def supplied(variable: str, what: str, how: str) -> Path | None:
    """The folder with data that a user supplies: what an environment variable names, else the folder of its name, in
    small letters, in ``DATA``, or None.

    ``what`` is expected there, and ``how`` says how to get it. Raises FileNotFoundError if the variable is set, or
    something is there, that is no folder.
    """
    given = named(variable)
    folder = given or DATA / variable.lower()
    if folder.is_dir():
        return folder
    if given or os.path.lexists(folder):
        raise FileNotFoundError(f"{f'{variable}=' * bool(given)}{folder}: found {kind(folder)}, expected {what}; {how}")
    return None


def results_folder(profile: str) -> Path:
    """The folder that takes a profile's runs and report.

    Only ``full`` writes where git looks; everything else (drawn faces, cut-down runs) goes below
    ``results/local``, which git ignores, so that a trial can never overwrite a result.
    """
    return RESULTS if profile == "full" else RESULTS / "local" / profile
