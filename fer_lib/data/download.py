"""FER2013 from Kaggle, through kagglehub, Kaggle's own client library (the extra ``data``; nothing else needs it)."""

import importlib.util
import shutil
import tempfile
import textwrap
import warnings
from pathlib import Path

from .. import paths
from . import Faces, fer2013

TABLE = "deadskull7/fer2013"
"""A public data set with a copy of fer2013.csv; needs no account."""
PICTURES = "msambare/fer2013"
"""The public folder copy: JPEG pictures, whose pixels differ slightly from the table's; needs no account."""

TERMS = """\
The faces belong to the people on them. They were collected for research: do not pass them on, and follow the
competition's rules and Kaggle's terms (https://www.kaggle.com/terms)."""


def by_hand() -> str:
    """How to get the data by hand, step by step."""
    return f"""\
To get the official data by hand:
  1. Sign in at https://www.kaggle.com and accept the rules at
     https://www.kaggle.com/c/{fer2013.COMPETITION}/rules
  2. On its page "Data", download fer2013.tar.gz or icml_face_data.csv, or all files as one zip.
     Or take fer2013.csv from https://www.kaggle.com/datasets/{TABLE}
  3. Put the file into {paths.DATA}, without unpacking it, or say where it is: make reproduce FER2013=PATH
For `make data` to do this: create a token at https://www.kaggle.com/settings and set KAGGLE_API_TOKEN to it, or keep it
in ~/.kaggle/access_token. (KAGGLE_USERNAME with KAGGLE_KEY, and ~/.kaggle/kaggle.json, work too.)
As JPEG pictures, with slightly different pixels: "Download" at https://www.kaggle.com/datasets/{PICTURES}
gives an archive.zip for the same folder."""


def fetch() -> int:
    """Download FER2013 into ``data/``, unless it is there. Returns the exit code: 0 if a whole data set is there at the
    end.

    It tries in turn the competition's table, which needs Kaggle credentials (kagglehub finds them), the public copy of
    the table, and the pictures. A download is read before it is moved into ``data/``, and nothing there is overwritten.
    Progress and reasons are printed. Raises ValueError if the data that is already there is malformed.
    """
    there, whole = fer2013.find(), False
    if there:
        try:
            faces = _read(there)
        except ValueError as error:
            raise ValueError(f"{error}. Move it away, then run `make data` again") from error
        print(f"{there} is {fer2013.described(faces)}")
        if faces.source["official"]:
            return 0
        whole = not fer2013.lacking(faces)
    print(TERMS, flush=True)
    sources = (fer2013.COMPETITION, TABLE) if whole else (fer2013.COMPETITION, TABLE, PICTURES)
    if importlib.util.find_spec("kagglehub") is None:
        print("kagglehub is not installed here, so nothing was tried; `pip install kagglehub` brings it.")
        sources = ()
    for name in sources:
        try:
            brought = _bring(name)
        except Exception as error:  # kagglehub's errors have no common class
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 500)
            print(f"Not from Kaggle's {name} ({reason})", flush=True)
        else:
            print(f"{brought} is {fer2013.described(_read(brought))}\nNow: make reproduce")
            return 0
    print(f"\n{by_hand()}")
    return 0 if whole else 1


def _bring(name: str) -> Path:
    """Download a competition's table or a data set to a separate folder, read it, and move it into ``data/``."""
    import kagglehub

    paths.DATA.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.DATA, prefix=".download-") as temporary:
        folder = Path(temporary) / "fer2013"
        if name == fer2013.COMPETITION:
            kagglehub.competition_download(name, path="icml_face_data.csv", output_dir=str(folder))
        else:
            kagglehub.dataset_download(name, output_dir=str(folder))
        came = fer2013.first_in(folder)
        if came is None:
            raise FileNotFoundError(f"found {sorted(path.name for path in folder.iterdir())}, expected FER2013")
        faces = _read(came, whole=True)
        if name != PICTURES and not faces.source["official"]:
            raise ValueError(f"{came.name} is {fer2013.described(faces)}")
        shutil.rmtree(folder / ".complete", ignore_errors=True)  # a marker file of kagglehub
        place = paths.DATA / came.name
        if place.exists():
            raise FileExistsError(f"{place} is in the way; move it, then run `make data` again")
        came.rename(place)
    return place


def _read(path: Path, whole: bool = False) -> Faces:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # said in the sentences here
        return fer2013.load(path, whole=whole)
