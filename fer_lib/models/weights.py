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

import numpy as np
from tqdm.auto import tqdm

from .. import paths, system
from ..data import PROGRESS
from ..files import arrays as array_files
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

GIVEN = {"tandem": "deepid.npz"}
"""Files that nobody publishes and a user may have, by the name of the network's builder: weights of some of its layers,
as arrays named "<layer>/<number>" in Keras' order, such as "deepid_1/0" (kernel) and "deepid_1/1" (bias)."""


def folder() -> Path:
    return paths.DATA / "weights"


def find(name: str) -> Path | None:
    """The file of a network's weights that is here: the owners' file, else another form, else None."""
    files = (GIVEN[name],) if name in GIVEN else (SOURCES[name].file, *SOURCES[name].also)
    return next((path for file in files if (path := folder() / file).is_file()), None)


def instructions(name: str) -> str:
    """What to do if ``find`` finds nothing."""
    if name in GIVEN:
        return f"nobody publishes them; put your own into {folder() / GIVEN[name]}, see docs/related.md"
    source = SOURCES[name]
    files = " or ".join((source.file, *source.also))
    return f"`make weights ONLY={name}` fetches them from {source.url}; or put {files} into {folder()}"


def load(network, name: str) -> dict:
    """Put a network's published weights into it (a Keras model), except a head for other classes.

    Returns {"file", "sha256"}. Raises FileNotFoundError with what to do if they are not here, ValueError if the file is
    not what its owners published, or does not fit the network.
    """
    if name not in (*SOURCES, *GIVEN):
        known = ", ".join((*SOURCES, *GIVEN))
        raise ValueError(f"weights: found 'pretrained' with model {name!r}, expected '', or one of {known}")
    path = find(name)
    if path is None:
        raise FileNotFoundError(f"weights of {name}: none are here; {instructions(name)}")
    if name in GIVEN:
        _assign_given(network, path)
        return {"file": path.name, "sha256": system.file_hash(path)}
    known = check(path, name)
    weight_files.assign(network, weight_files.read(path, known), path.name)
    return {"file": path.name, "sha256": system.file_hash(path)}


def _assign_given(network, path: Path) -> None:
    """Put the arrays of a file of ``GIVEN`` into the layers that they name; the others keep what they have. Raises
    ValueError naming the file and the layer for one that the network lacks, or does not fit."""
    then = "name each array <layer>/<number>, in the order of Keras' layer.weights"
    given = array_files.read_npz(path, path, "weights of a network's layers", then)
    layers = {layer.name: layer for layer in network.layers if layer.weights}
    named = {}
    for key in given:
        layer, _, number = key.rpartition("/")
        if layer not in layers or not number.isdigit() or int(number) >= len(layers[layer].weights):
            raise refused(path, f"an array {key!r}", f"arrays of some of {', '.join(layers)}", then)
        named.setdefault(layer, {})[int(number)] = given[key]
    for layer, parts in named.items():
        found = [parts[number].shape for number in sorted(parts)]
        expected = [tuple(weight.shape) for weight in layers[layer].weights]
        if found != expected:
            raise refused(f"{path}, layer {layer}", f"shapes {found}", f"{expected}", then)
        array_files.check_finite(np.concatenate([part.ravel() for part in parts.values()]), f"{path}, {layer}", then)
        layers[layer].set_weights([parts[number] for number in sorted(parts)])
    if not named:
        raise refused(path, "no array", f"arrays of some of {', '.join(layers)}", then)


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
