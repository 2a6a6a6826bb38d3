"""Pretrained weights: where their owners publish them, and how they get into ``data/weights`` and into a network.

Each file is pinned by the checksum that its owners publish: torchvision's name contains the first digits of its
SHA-256, Caffe gives a SHA-1, Keras and MatConvNet an MD5. A run's record keeps the whole SHA-256 of the loaded file.
"""

import http.client
import os
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from tqdm.auto import tqdm

from .. import paths, system
from ..data import PROGRESS
from ..files import refused
from . import weight_files


class Source(NamedTuple):
    """A file that its owners publish. ``pin``: "sha256:1378be20", an algorithm and the first digits or all of them."""

    url: str
    pin: str
    licence: str
    also: tuple[str, ...] = ()  # other files of the same weights, used if one is there

    @property
    def file(self) -> str:
        return self.url.rsplit("/", 1)[-1]


KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
SOURCES = {
    "googlenet": Source(
        "https://download.pytorch.org/models/googlenet-1378be20.pth",
        "sha256:1378be20",
        "published by torchvision (BSD 3-clause), converted from TensorFlow's; trained on ImageNet, whose pictures "
        "are for non-commercial research",
    ),
    "caffenet": Source(
        "http://dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel",
        "sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
        "released for unrestricted use by Caffe's authors (BVLC, Berkeley)",
    ),
    "vgg16": Source(
        f"{KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        "md5:64373286793e3c8b2b4e3219cbf3544b",
        "released by VGG, Oxford, under the Creative Commons Attribution licence; converted by Keras",
    ),
    "resnet152": Source(
        f"{KERAS}/resnet/resnet152_weights_tf_dim_ordering_tf_kernels.h5",
        "md5:100835be76be38e30d865e96f2aaae62",
        "released by Kaiming He under the MIT licence; converted by Keras",
    ),
    "vgg_face": Source(
        "http://www.vlfeat.org/matconvnet/models/vgg-face.mat",
        "md5:3d6cd504bf9c98af4a561aad059565d1",
        "released by VGG, Oxford, for non-commercial research (https://www.robots.ox.ac.uk/~vgg/software/vgg_face/)",
        ("vgg_face.mat", "rcmalli_vggface_tf_vgg16.h5"),
    ),
}
"""The published files, by the name of the network's builder."""


def folder() -> Path:
    return paths.DATA / "weights"


def find(name: str) -> Path | None:
    """The file of a network's weights that is here: the owners' file, else another form, else None."""
    source = SOURCES[name]
    return next((path for file in (source.file, *source.also) if (path := folder() / file).is_file()), None)


def instructions(name: str) -> str:
    """What to do if ``find`` finds nothing."""
    source = SOURCES[name]
    files = " or ".join((source.file, *source.also))
    return f"`make weights ONLY={name}` fetches them from {source.url}; or put {files} into {folder()}"


def load(network, name: str) -> dict:
    """Put a network's published weights into it (a Keras model), except a head for other classes.

    Returns {"file", "sha256"}. Raises FileNotFoundError with what to do if they are not here, ValueError if the file is
    not what its owners published, or does not fit the network.
    """
    if name not in SOURCES:
        raise ValueError(
            f"weights: found 'pretrained' with model {name!r}, expected '', or one of {', '.join(SOURCES)}"
        )
    path = find(name)
    if path is None:
        raise FileNotFoundError(f"weights of {name}: none are here; {instructions(name)}")
    known = check(path, name)
    weight_files.assign(network, weight_files.read(path, known), path.name)
    return {"file": path.name, "sha256": system.file_hash(path)}


def check(path: Path, name: str) -> bool:
    """Whether a file is the one that its owners published; False for other forms of it, which have no pin.

    Raises ValueError if it should be, and is not.
    """
    source = SOURCES[name]
    algorithm, _, expected = source.pin.partition(":")
    if path.name.removesuffix(".partial") == source.file:
        found = system.file_hash(path, algorithm)
        if not found.startswith(expected):
            then = "delete it, then run `make weights` again"
            raise refused(path, f"{algorithm.upper()} {found}", f"{expected}, which its owners publish", then)
        return True
    return False


def fetch(only: str = "") -> int:
    """Download missing weights (``only``: comma-separated networks, "" for all). Returns the exit code.

    A stopped download continues at the next call. Nothing that is there is overwritten. A download is checked against
    its pin before it gets its name.
    """
    names = list(filter(None, only.split(","))) or list(SOURCES)
    if unknown := [name for name in names if name not in SOURCES]:
        raise ValueError(f"weights: found {unknown[0]!r}, expected some of {', '.join(SOURCES)}")
    with system.locked(folder().with_suffix(".lock"), "fetching weights"):
        folder().mkdir(exist_ok=True)
        return _fetch(names)


def _fetch(names: list[str]) -> int:
    failed = []
    for name in names:
        source, path = SOURCES[name], find(name)
        print(f"{name}: {source.licence}.", flush=True)
        try:
            if path is None:
                path, partial = folder() / source.file, folder() / f"{source.file}.partial"
                download(source.url, partial)
                try:
                    check(partial, name)
                except ValueError:
                    partial.unlink()
                    raise
                os.replace(partial, path)
            else:
                check(path, name)
            print(f"  {path} is here, SHA-256 {system.file_hash(path)}", flush=True)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failed.append(name)
            print(f"  not here: {error}\n  {instructions(name)}", flush=True)
    if failed:
        print(f"Still missing: {', '.join(failed)}.")
    else:
        rows = ",".join(f"vorontsov2018/table1_{name}" for name in names)
        print(f"Now, on a GPU: make reproduce PROFILE=full ONLY={rows}")
    return 1 if failed else 0


def download(url: str, path: Path) -> None:
    """Download a file, or the rest of it if ``path`` has its beginning.

    Raises OSError if it breaks off; the part that came is kept for the next call.
    """
    start = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if start and error.code == 416:  # nothing is left to send: it was complete
            return
        raise
    with response:
        if response.status != 206:  # the whole file is sent, not only the rest
            start = 0
        left, free = int(response.headers.get("Content-Length", 0)), shutil.disk_usage(path.parent).free
        total = start + left if left else None
        if left > free:
            raise OSError(f"{url} needs {left / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free")
        shown = tqdm.wrapattr(response, "read", total, initial=start, desc=path.stem, file=sys.stderr, **PROGRESS)
        with open(path, "ab" if start else "wb") as file, shown as body:
            shutil.copyfileobj(body, file)
        if total and (size := path.stat().st_size) < total:
            raise ConnectionError(f"{url} broke off after {size:,} of {total:,} bytes; the same command continues")
