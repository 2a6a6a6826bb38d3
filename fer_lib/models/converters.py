"""Published weights, from their owners' files into the networks of ``fer_lib.models.pretrained``.

Each reader returns a dictionary from a layer's name to its arrays, in Keras' order and layout: convolutions (height,
width, in, out), dense layers (in, out), batch normalisation scale, shift, mean, variance. The last layer is always
called "logits". Nothing in a file is executed: HDF5 and MATLAB files are read as arrays, PyTorch's by
``torch_files``, and Caffe's by OpenCV, whose reader knows its format. Every reader raises ValueError naming the
file where it does not hold what it should.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data import refused
from . import torch_files

HEAD = "logits"
HEADS = ("predictions", "fc", "fc8")
"""What the owners call the last layer: Keras, torchvision, Caffe and VGG-Face."""

Weights = dict[str, list[np.ndarray]]


def read(path: Path) -> Weights:
    """The weights in a file, by the reader that its ending asks for."""
    found = READERS[path.suffix](path)
    return {HEAD if name in HEADS else name: arrays for name, arrays in found.items()}


def assign(network, found: Weights, place: str) -> None:
    """Put the arrays into a Keras network, layer by layer, by name.

    A head of other classes than the file's keeps its fresh weights; all else has to fit. Raises ValueError naming
    ``place`` (the file) and the layer.
    """
    layers = {layer.name: layer for layer in network.layers if layer.weights}
    if strange := sorted(found.keys() ^ layers.keys()):
        name = strange[0]
        said = f"{'no' if name in layers else 'a'} layer {name}"
        raise refused(place, said, f"those of {network.name}", "the file is of another network")
    for name, layer in layers.items():
        wanted, given = [tuple(v.shape) for v in layer.weights], [array.shape for array in found[name]]
        if given == wanted:
            layer.set_weights(found[name])
        elif name != HEAD:
            then = "published dense layers fit the published `side` only; leave it out of model_options"
            raise refused(f"{place}, layer {name}", f"shapes {given}", f"{wanted}", then)


def keras_h5(path: Path) -> Weights:
    """Weights that Keras 1 or 2 saved: a group for each layer, which lists the names of its arrays in order."""
    import h5py

    try:
        with h5py.File(path) as file:
            top = file["model_weights"] if "model_weights" in file else file
            return {
                name: [top[name][weight][()] for weight in _names(top[name], "weight_names")]
                for name in _names(top, "layer_names")
                if _names(top[name], "weight_names")
            }
    except (OSError, KeyError) as error:
        raise refused(path.name, str(error), "weights as Keras saves them", "fetch the file again") from None


def _names(group, attribute: str) -> list[str]:
    """An attribute that lists names; where it was too long for HDF5, Keras split it into numbered parts."""
    parts = [attribute] if attribute in group.attrs else []
    while not (parts and parts[0] == attribute) and f"{attribute}{len(parts)}" in group.attrs:
        parts.append(f"{attribute}{len(parts)}")
    if not parts:
        raise KeyError(f"{group.name} lists no {attribute}")
    names = [name for part in parts for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def torchvision_googlenet(path: Path) -> Weights:
    """torchvision's GoogLeNet; its auxiliary heads, which help in training only, are left in the file."""
    found: Weights = {}
    tensors = {name: t for name, t in torch_files.read(path).items() if not name.startswith("aux")}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        if kind == "weight":
            if tensor.ndim == 1:
                kinds = ("weight", "bias", "running_mean", "running_var")
                found[layer] = [_of(tensors, f"{layer}.{part}", path) for part in kinds]
            elif tensor.ndim == 2:
                found[layer] = [tensor.T, _of(tensors, f"{layer}.bias", path)]
            else:
                found[layer] = [tensor.transpose(2, 3, 1, 0)]
    return found


def _of(tensors: dict[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    if name not in tensors:
        raise refused(path.name, f"no {name}", "torchvision's GoogLeNet", "fetch the file again")
    return tensors[name]


def caffenet(path: Path) -> Weights:
    """Caffe's CaffeNet. Its first dense layer takes channels one after the other, and Keras' channels last."""
    import cv2

    try:
        net = cv2.dnn.readNetFromCaffe(str(Path(__file__).with_name("caffenet.prototxt")), str(path))
        found = {}
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
            found[name] = [kernel, bias.reshape(-1)]
    except (cv2.error, ValueError) as error:
        said = str(error).strip().splitlines()[0]
        raise refused(path.name, said, "Caffe's reference CaffeNet", "fetch the file again") from None
    return found


def vgg_face_mat(path: Path) -> Weights:
    """VGG-Face as MatConvNet keeps it, alone (``vgg-face.mat``) or as ``net`` (``vgg_face.mat``, its owners' archive).

    Kernels are in Keras' layout there, dense ones as convolutions over all of the picture; the first takes red first,
    where the network here, as in Caffe's and Keras' forms of it, takes blue first.
    """
    from scipy import io

    found = {}
    try:
        top = io.loadmat(path, struct_as_record=False, squeeze_me=True)
        for layer in (top["net"] if "net" in top else _Fields(top)).layers:
            weights = getattr(layer, "weights", None)
            if weights is not None and len(weights) == 2:
                kernel, bias = weights
            elif hasattr(layer, "filters"):  # before MatConvNet 1.0-beta8
                kernel, bias = layer.filters, layer.biases
            else:
                continue
            if layer.name.startswith("fc"):
                kernel = kernel.reshape(-1, kernel.shape[-1])
            if layer.name == "conv1_1":
                kernel = kernel[:, :, ::-1]
            found[str(layer.name)] = [kernel.astype(np.float32), np.asarray(bias, np.float32).reshape(-1)]
    except (ValueError, KeyError, AttributeError, TypeError, NotImplementedError) as error:
        said = f"{type(error).__name__}: {error}"
        raise refused(path.name, said, "VGG-Face as MatConvNet saves it", "fetch the file again") from None
    return found


class _Fields:
    """What loadmat read from the top of a file, as it gives what lies deeper."""

    def __init__(self, fields: dict):
        self.__dict__ = fields


READERS = {".h5": keras_h5, ".pth": torchvision_googlenet, ".caffemodel": caffenet, ".mat": vgg_face_mat}
