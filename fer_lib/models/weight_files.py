"""Loads published weights from their owners' files into the networks of ``fer_lib.models.pretrained``.

Each reader returns a dictionary from a layer's name to its arrays, in Keras' order and layout: convolutions (height,
width, in, out), dense layers (in, out), batch normalisation scale, shift, mean, variance. The last layer is always
called "logits". Nothing in a file is executed: HDF5 and MATLAB files are read as arrays, PyTorch's by
``torch_tensors``, and Caffe's by OpenCV, whose reader knows its format. Every reader raises ValueError naming the file
if its content is not what is expected.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO, NamedTuple

import numpy as np

from ..files import refused

HEAD = "logits"
HEADS = ("predictions", "fc", "fc8")
"""The owners' names of the last layer: Keras, torchvision, Caffe and VGG-Face."""

Weights = dict[str, list[np.ndarray]]


def read(path: Path) -> Weights:
    """The weights in a file, read according to its ending."""
    return {HEAD if name in HEADS else name: arrays for name, arrays in READERS[path.suffix](path).items()}


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

    try:
        with h5py.File(path) as file:
            top = file.get("model_weights", file)
            arrays = {name: _names(top[name], "weight_names") for name in _names(top, "layer_names")}
            return {name: [top[name][array][()] for array in names] for name, names in arrays.items() if names}
    except (OSError, KeyError) as error:
        raise refused(path.name, str(error), "weights as Keras saves them", "fetch the file again") from None


def _names(group, attribute: str) -> list[str]:
    """An attribute that lists names; if it was too long for HDF5, Keras split it into numbered parts."""
    parts = [attribute] if attribute in group.attrs else []
    while not (parts and parts[0] == attribute) and f"{attribute}{len(parts)}" in group.attrs:
        parts.append(f"{attribute}{len(parts)}")
    if not parts:
        raise KeyError(f"{group.name} lists no {attribute}")
    names = [name for part in parts for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def caffenet(path: Path) -> Weights:
    """Caffe's CaffeNet. Its first dense layer takes one channel after the other, Keras' takes channels last."""
    import cv2

    try:
        net = cv2.dnn.readNetFromCaffe(str(Path(__file__).with_name("caffenet.prototxt")), str(path))
        weights = {}
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
    except (cv2.error, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise refused(path.name, first_line, "Caffe's reference CaffeNet", "fetch the file again") from None
    return weights


def vgg_face_mat(path: Path) -> Weights:
    """VGG-Face as MatConvNet keeps it, alone (``vgg-face.mat``) or as ``net`` (``vgg_face.mat``, its owners' archive).

    Kernels are in Keras' layout there, dense ones as convolutions over the whole picture. The first takes RGB, while
    the network here, as in Caffe's and Keras' versions, takes BGR.
    """
    from scipy import io

    weights = {}
    try:
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
    except (ValueError, KeyError, AttributeError, TypeError, NotImplementedError) as error:
        found = f"{type(error).__name__}: {error}"
        raise refused(path.name, found, "VGG-Face as MatConvNet saves it", "fetch the file again") from None
    return weights


# ---- PyTorch's format


def torchvision_googlenet(path: Path) -> Weights:
    """torchvision's GoogLeNet; its auxiliary heads, which only help in training, are not read."""
    tensors = {name: t for name, t in torch_tensors(path).items() if not name.startswith("aux")}

    def tensor(name: str) -> np.ndarray:
        if name not in tensors:
            raise refused(path.name, f"no {name}", "torchvision's GoogLeNet", "fetch the file again")
        return tensors[name]

    weights: Weights = {}
    for name, array in tensors.items():
        layer, _, kind = name.rpartition(".")
        if kind == "weight" and array.ndim == 1:
            weights[layer] = [tensor(f"{layer}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        elif kind == "weight" and array.ndim == 2:
            weights[layer] = [array.T, tensor(f"{layer}.bias")]
        elif kind == "weight":
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
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _from_zip(archive)
        with open(path, "rb") as file:
            return _from_stream(file)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        found, expected = f"{type(error).__name__}: {error}", "a state dictionary as torch.save writes it"
        raise refused(path.name, found, expected, "fetch the file again, and from its owners") from None


def _from_zip(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    (described,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    folder = described.removesuffix("data.pkl")
    with archive.open(described) as file:
        tensors = _unpickled(file)
    keys = {tensor.storage[1] for tensor in tensors.values()}
    return _arrays(tensors, {key: archive.read(f"{folder}data/{key}") for key in keys})


def _from_stream(file: BinaryIO) -> dict[str, np.ndarray]:
    if _unpickled(file) != TORCH_MAGIC:
        raise ValueError("it does not begin as PyTorch's files do")
    for _ in ("version", "system"):
        _unpickled(file)
    tensors, numbers = _unpickled(file), {}
    types = {tensor.storage[1]: tensor.storage[0] for tensor in tensors.values()}
    for key in _unpickled(file):
        (count,) = np.frombuffer(file.read(8), "<i8")
        numbers[key] = file.read(int(count) * np.dtype(types[key]).itemsize)
    return _arrays(tensors, numbers)


def _unpickled(file: BinaryIO):
    """The next pickle of a file, in which only what is defined here, anew each time, can be called."""

    known = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): lambda *values: _Tensor(*values[:4]),
        ("torch._utils", "_rebuild_parameter"): lambda data, *rest: data,
        **{("torch", name): kind for name, kind in TORCH_STORAGES.items()},
    }

    class Unpickler(pickle.Unpickler):
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
        kind, key = tensor.storage
        size = np.dtype(kind).itemsize
        strides = [size * stride for stride in tensor.strides]
        arrays[name] = np.ndarray(tensor.shape, kind, numbers[key], size * tensor.offset, strides)
    return arrays


READERS = {".h5": keras_h5, ".pth": torchvision_googlenet, ".caffemodel": caffenet, ".mat": vgg_face_mat}
