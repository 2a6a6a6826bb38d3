"""Loads published weights from their owners' files into the networks of ``fer_lib.models.pretrained``.

Each reader returns a dictionary from a layer's name to its arrays, in Keras' order and layout: convolutions (height,
width, in, out), dense layers (in, out), batch normalisation scale, shift, mean, variance. The last layer is always
called "logits". Nothing in a file is executed: HDF5 and MATLAB files are read as arrays, PyTorch's by
``torch_tensors``, and Caffe's by OpenCV, whose reader knows its format. Every reader raises ValueError naming the file
if its content is not what is expected, whatever is wrong with it, and OSError if the system does not open it.
"""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from ..files import archives, arrays, reason, refused, regular

AGAIN = "fetch the file again, and from its owners"
HEAD = "logits"
HEADS = ("predictions", "fc", "fc8")
"""The owners' names of the last layer: Keras, torchvision, Caffe and VGG-Face."""

Weights = dict[str, list[np.ndarray]]


LARGEST = 2**31
"""Bytes of one array that are refused unread: the largest that is published has 0.4 GB. A damaged file may claim more
than fits into memory."""


REHEARSAL = """
import resource, sys
from pathlib import Path
from fer_lib.models import weight_files
resource.setrlimit(resource.RLIMIT_CPU, 2 * (int(sys.argv[2]),))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
path = Path(sys.argv[1])
if sys.platform == "linux":
    with open("/proc/self/statm") as file:
        most = int(file.read().split()[0]) * resource.getpagesize() + int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
def tell(kind, error, trace):
    if issubclass(kind, ValueError):
        sys.stdout.buffer.write(str(error).encode("utf-8", "surrogateescape"))
sys.excepthook = tell
weight_files.READERS[path.suffix.lower()](path)
"""
REHEARSED = (".h5", ".mat")
"""Files whose readers, HDF5 and SciPy, crash, never end or fill the memory on some damaged ones."""
LONGEST = 60
"""Seconds of a processor after which a reader is taken to never end; the largest file takes two."""
ROOM = 2**28
"""Bytes of memory that a reader may take for a file of any size."""


def read(path: Path, known: bool = False) -> Weights:
    """The weights in a file, read according to its ending; numbers, all of them finite.

    known: whether its checksum is the one that its owners publish. Others are first read by a process of their own if
    they could make their reader crash, with no more memory than an honest file of that size takes.
    """
    if path.suffix.lower() not in READERS:
        raise refused(path.name, f"the ending {path.suffix!r}", f"one of {', '.join(READERS)}", AGAIN)
    regular(path)
    if not known and path.suffix.lower() in REHEARSED:
        most = ROOM + archives.TIMES * path.stat().st_size
        command = [sys.executable, "-c", REHEARSAL, path.absolute(), str(LONGEST), str(most)]
        done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True)
        if done.returncode < 0:
            found, expected = "damage that crashes its reader, or never lets it end", "a whole file"
            raise refused(path.name, found, expected, AGAIN)
        if done.stdout:  # not read again here, where nothing bounds the memory
            raise ValueError(os.fsdecode(done.stdout))
    weights = READERS[path.suffix.lower()](path)
    for layer, parts in weights.items():
        for array in parts:
            if array.dtype.kind not in "fiu":
                raise refused(f"{path.name}, layer {layer}", f"an array of {array.dtype}", "numbers", AGAIN)
            if array.nbytes > LARGEST:  # of few numbers, each many times
                raise refused(f"{path.name}, layer {layer}", f"{array.nbytes:,} bytes", f"{LARGEST:,} at most", AGAIN)
            arrays.check_finite(array.reshape(1, -1), f"{path.name}, layer {layer}", AGAIN)
    return {HEAD if name in HEADS else name: parts for name, parts in weights.items()}


@contextmanager
def _content_of(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever is raised within into a ValueError that names the file: it is its content's fault, for the system
    opens it. zipfile, pickle, h5py, SciPy and OpenCV raise some thirty types."""
    with open(path, "rb"):
        pass
    try:
        yield
    except Exception as error:
        raise refused(path.name, f"{type(error).__name__}: {reason(error)}", expected, AGAIN) from error


def _no_larger(size: int, most: int = LARGEST) -> None:
    """Raise ValueError for what claims to be larger than it can be, before memory is asked for it."""
    if size > most:
        raise ValueError(f"an array of {size:,} bytes, where {most:,} are the most there can be")


def assign(network, weights: Weights, place: str) -> None:
    """Put the arrays into a Keras network, layer by layer, by name.

    A head for other classes than the file's keeps its fresh weights; everything else has to fit. Raises ValueError
    naming ``place`` (the file) and the layer.
    """
    layers = {layer.name: layer for layer in network.layers if layer.weights}
    if differing := sorted(weights.keys() ^ layers.keys()):
        found = f"{'no' if differing[0] in layers else 'a'} layer {differing[0]}"
        raise refused(place, found, f"those of {network.name}", "the file is of another network")
    for name, layer in layers.items():
        found, expected = [array.shape for array in weights[name]], [tuple(v.shape) for v in layer.weights]
        if found == expected:
            layer.set_weights(weights[name])
        elif name != HEAD:
            then = "published dense layers fit the published `side` only; leave it out of model_options"
            raise refused(f"{place}, layer {name}", f"shapes {found}", f"{expected}", then)


# ---- Keras', Caffe's and MatConvNet's formats


def keras_h5(path: Path) -> Weights:
    """Weights that Keras 1 or 2 saved: a group for each layer, which lists the names of its arrays in order."""
    import h5py

    with _content_of(path, "weights as Keras saves them"), h5py.File(path, "r") as file:
        top = file.get("model_weights", file)
        named = {name: _names(top[name], "weight_names") for name in _names(top, "layer_names")}
        size, claimed = path.stat().st_size, 0
        for array in (top[name][array] for name, names in named.items() for array in names):
            _no_larger(array.nbytes, LARGEST if array.compression else size)
            claimed += array.nbytes
        if found := archives.excess(claimed, size):
            raise ValueError(found)
        return {name: [np.asarray(top[name][array][()]) for array in names] for name, names in named.items() if names}


def _names(group, attribute: str) -> list[str]:
    """An attribute that lists names; if it was too long for HDF5, Keras split it into numbered parts."""
    parts = [attribute] if attribute in group.attrs else []
    while not (parts and parts[0] == attribute) and f"{attribute}{len(parts)}" in group.attrs:
        parts.append(f"{attribute}{len(parts)}")
    if not parts:
        raise KeyError(f"{group.name} lists no {attribute}")
    for part in parts:
        stored = group.attrs.get_id(part)
        _no_larger(stored.dtype.itemsize * int(np.prod(stored.shape, dtype=object)), 2**20)
    names = [name for part in parts for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def caffenet(path: Path) -> Weights:
    """Caffe's CaffeNet. Its first dense layer takes one channel after the other, Keras' takes channels last."""
    import cv2

    weights = {}
    with _content_of(path, "Caffe's reference CaffeNet"):
        net = cv2.dnn.readNetFromCaffe(str(Path(__file__).with_name("caffenet.prototxt")), str(path))
        for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"):
            kernel, bias = net.getLayer(net.getLayerId(name)).blobs
            units = bias.size  # old files give every array four dimensions, some of them 1
            if name.startswith("conv"):
                kernel = kernel.transpose(2, 3, 1, 0)
            elif name == "fc6":
                side = round((kernel.size / units / 256) ** 0.5)
                kernel = kernel.reshape(units, 256, side, side).transpose(2, 3, 1, 0).reshape(-1, units)
            else:
                kernel = kernel.reshape(units, -1).T
            weights[name] = [kernel, bias.reshape(-1)]
    return weights


def vgg_face_mat(path: Path) -> Weights:
    """VGG-Face as MatConvNet keeps it, alone (``vgg-face.mat``) or as ``net`` (``vgg_face.mat``, its owners' archive).

    Kernels are in Keras' layout there, dense ones as convolutions over the whole picture. The first takes RGB, while
    the network here, as in Caffe's and Keras' versions, takes BGR.
    """
    from scipy import io

    weights = {}
    with _content_of(path, "VGG-Face as MatConvNet saves it"):
        top = io.loadmat(path, struct_as_record=False, squeeze_me=True)
        for layer in (top["net"] if "net" in top else SimpleNamespace(**top)).layers:
            arrays = getattr(layer, "weights", None)
            if arrays is not None and len(arrays) == 2:
                kernel, bias = arrays
            elif hasattr(layer, "filters"):  # before MatConvNet 1.0-beta8
                kernel, bias = layer.filters, layer.biases
            else:
                continue
            if layer.name.startswith("fc"):
                kernel = kernel.reshape(-1, kernel.shape[-1])
            if layer.name == "conv1_1":
                kernel = kernel[:, :, ::-1]
            weights[str(layer.name)] = [kernel.astype(np.float32), np.asarray(bias, np.float32).reshape(-1)]
    return weights


# ---- PyTorch's format


def torchvision_googlenet(path: Path) -> Weights:
    """torchvision's GoogLeNet; its auxiliary heads, which only help in training, are not read."""
    tensors = {name: t for name, t in torch_tensors(path).items() if not name.startswith("aux")}

    def tensor(name: str) -> np.ndarray:
        if name not in tensors:
            raise refused(path.name, f"no {name}", "torchvision's GoogLeNet", AGAIN)
        return tensors[name]

    weights: Weights = {}
    for name, array in tensors.items():
        layer, _, kind = name.rpartition(".")
        if kind == "weight" and array.ndim == 1:
            weights[layer] = [tensor(f"{layer}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        elif kind == "weight" and array.ndim == 2:
            weights[layer] = [array.T, tensor(f"{layer}.bias")]
        elif kind == "weight" and array.ndim == 4:
            weights[layer] = [array.transpose(2, 3, 1, 0)]
    return weights


TORCH_MAGIC = 0x1950A86A20F9469CFC6C
"""The first number in a file older than the zip format."""
TORCH_STORAGES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2",
    "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1",
}  # fmt: skip
"""The types of numbers, little-endian, by PyTorch's names for arrays of them."""


class _Tensor(NamedTuple):
    """A tensor's place: an array of numbers ``(type, key)``, and offset, shape and strides in it, counted in
    numbers."""

    storage: tuple[str, str]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def torch_tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch state dictionary by name, in the file's order, each of its own type and shape.

    ``torch.save`` pickles a dictionary of tensors that say where in the file their numbers are: an entry of a zip
    (since PyTorch 1.6), or what follows the pickle (before). A pickle can name any function to call. Here it can name
    only what such a dictionary needs, and gets plain data instead; anything else is refused before it is called, as by
    ``torch.load(weights_only=True)``. Raises ValueError if the file is no such dictionary, is damaged, or names
    anything else to be called.
    """
    with _content_of(path, "a state dictionary as torch.save writes it"):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if found := archives.zip_excess(archive):
                    raise ValueError(found)
                return _from_zip(archive)
        return _from_stream(io.BytesIO(path.read_bytes()))


def _from_zip(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    (described,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    folder = described.removesuffix("data.pkl")
    tensors = _unpickled(io.BytesIO(archive.read(described)))
    keys = {tensor.storage[1] for tensor in tensors.values()}
    for key in keys:
        _no_larger(archive.getinfo(f"{folder}data/{key}").file_size)
    return _arrays(tensors, {key: archive.read(f"{folder}data/{key}") for key in keys})


def _from_stream(file: io.BytesIO) -> dict[str, np.ndarray]:
    if _unpickled(file) != TORCH_MAGIC:
        raise ValueError("it does not begin as PyTorch's files do")
    for _ in ("version", "system"):
        _unpickled(file)
    tensors, numbers = _unpickled(file), {}
    types = {tensor.storage[1]: tensor.storage[0] for tensor in tensors.values()}
    for key in _unpickled(file):
        (count,) = np.frombuffer(file.read(8), "<i8")
        _no_larger(int(count) * np.dtype(types[key]).itemsize)
        numbers[key] = file.read(int(count) * np.dtype(types[key]).itemsize)
    return _arrays(tensors, numbers)


def _unpickled(file: io.BytesIO):
    """The next pickle of a file, in which only what is defined here, anew each time, can be called."""

    known = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): lambda *values: _Tensor(*values[:4]),
        ("torch._utils", "_rebuild_parameter"): lambda data, *rest: data,
        **{("torch", name): kind for name, kind in TORCH_STORAGES.items()},
    }

    class Unpickler(pickle._Unpickler):  # in Python: the one in C asks for all the memory that a damaged file names
        def find_class(self, module, name):
            if (module, name) not in known:
                raise pickle.UnpicklingError(f"it names {module}.{name}, which has no place in a state dictionary")
            return known[module, name]

        def persistent_load(self, identity):
            _, kind, key, _, _, *view = identity
            if any(view):  # a part of another array, as very old files may have
                raise pickle.UnpicklingError(f"its array {key} is a view of another one")
            return kind, key

    return Unpickler(file).load()


def _arrays(tensors: dict[str, _Tensor], numbers: dict[str, bytes]) -> dict[str, np.ndarray]:
    """NumPy checks that no tensor reaches beyond the stored numbers."""
    arrays = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"a tensor called {name!r}")
        kind, key = tensor.storage
        size = np.dtype(kind).itemsize
        strides = [size * stride for stride in tensor.strides]
        arrays[name] = np.ndarray(tensor.shape, kind, numbers[key], size * tensor.offset, strides)
    return arrays


READERS = {".h5": keras_h5, ".pth": torchvision_googlenet, ".caffemodel": caffenet, ".mat": vgg_face_mat}
