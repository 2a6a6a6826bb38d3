"""Networks with their owners' heads, and files of weights in the owners' formats, Caffe's, PyTorch's and MatConvNet's,
written without the owners' programs."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import keras
import numpy as np
from scipy.io import savemat

from fer_lib.models import pretrained


def original(name: str, side: int = 0, **options) -> keras.Model:
    """A network with its owners' head, 1,000 classes of ImageNet or 2,622 people, and without the input stage.

    (n, side, side, 3) float32 in, shifted and scaled as its weights want it, blue first but for GoogLeNet; (n, classes)
    float32 logits out. ``side`` 0: the one that it was trained with. ``options``: those of its builder.
    """
    side = side or (227 if name == "caffenet" else 224)
    inputs = keras.Input((side, side, 3))
    features = getattr(pretrained, f"_{name}")(inputs, **options)
    classes = 2622 if name == "vgg_face" else 1000
    return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32", name="logits")(features), name=name)


# ---- Caffe: protocol buffers, written field by field


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def caffemodel(path: Path, layers: dict[str, list[np.ndarray]], old: bool) -> Path:
    """``layers``: kernel and bias of each in Caffe's layout. ``old``: in the form of 2014, as it is published."""
    content = field(1, "CaffeNet")
    for name, arrays in layers.items():
        dense, blobs = name.startswith("fc"), []
        for array in arrays:
            shape = array.shape
            if old:  # always four dimensions
                legacy = (1,) * (4 - len(shape)) + shape
                said = b"".join(field(k, size) for k, size in enumerate(legacy, 1))
            else:
                said = field(7, field(1, b"".join(map(varint, shape))))
            blobs.append(said + field(5, array.astype("<f4").tobytes()))
        if old:
            layer = field(4, name) + field(5, 14 if dense else 4) + b"".join(field(6, blob) for blob in blobs)
        else:
            kind = field(2, "InnerProduct" if dense else "Convolution")
            layer = field(1, name) + kind + b"".join(field(7, blob) for blob in blobs)
        content += field(2 if old else 100, layer)
    path.write_bytes(content)
    return path


CAFFENET = {
    "conv1": (96, 3, 11, 11), "conv2": (256, 48, 5, 5), "conv3": (384, 256, 3, 3), "conv4": (384, 192, 3, 3),
    "conv5": (256, 192, 3, 3), "fc6": (4096, 9216), "fc7": (4096, 4096), "fc8": (1000, 4096),
}  # fmt: skip


# ---- PyTorch: a pickle that names functions of torch, which need not be there to be named


class Stored:
    """Stands for a torch tensor: pickled as PyTorch pickles one."""

    def __init__(self, key: str, array: np.ndarray):
        self.key, self.array = key, array


def torch_file(path: Path, tensors: dict[str, np.ndarray], old: bool, extra: object = None) -> Path:
    """Write ``tensors`` (float32 or int64) as ``torch.save`` does a state dictionary.

    ``old``: as before PyTorch 1.6, one pickle after the other. ``extra``: something else in the dictionary.
    """
    fake = {name: types.ModuleType(name) for name in ("torch", "torch._utils")}

    def named(module: str, name: str):
        made = types.FunctionType((lambda *a: None).__code__, {}, name)
        made.__module__, made.__qualname__ = module, name
        setattr(fake[module], name, made)
        return made

    rebuild = named("torch._utils", "_rebuild_tensor_v2")
    kinds = {"f": named("torch", "FloatStorage"), "i": named("torch", "LongStorage")}

    class Storage:
        def __init__(self, stored):
            self.stored = stored

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            if isinstance(item, Storage):
                array = item.stored.array
                identity = ("storage", kinds[array.dtype.kind], item.stored.key, "cpu", array.size)
                return (*identity, None) if old else identity
            return None

        def reducer_override(self, item):
            if isinstance(item, Stored):
                strides = tuple(step // item.array.itemsize for step in item.array.strides)
                return rebuild, (Storage(item), 0, item.array.shape, strides, False, OrderedDict())
            return NotImplemented

    stored = OrderedDict((name, Stored(str(k), array)) for k, (name, array) in enumerate(tensors.items()))
    stored._metadata = OrderedDict({"": {"version": 1}})
    if extra is not None:
        stored["extra"] = extra
    described = io.BytesIO()
    sys.modules |= fake
    try:
        Pickler(described, 2).dump(stored)
    finally:
        for name in fake:
            del sys.modules[name]
    arrays = {str(k): array.ravel(order="K") for k, array in enumerate(tensors.values())}  # as they lie in memory
    if old:
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
        with open(path, "wb") as file:
            for part in (0x1950A86A20F9469CFC6C, 1001, system):
                pickle.dump(part, file, 2)
            file.write(described.getvalue())
            pickle.dump(list(arrays), file, 2)
            for array in arrays.values():
                file.write(np.int64(array.size).tobytes() + array.tobytes())
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("googlenet/data.pkl", described.getvalue())
            for key, array in arrays.items():
                archive.writestr(f"googlenet/data/{key}", array.tobytes())
            archive.writestr("googlenet/version", "3\n")
    return path


# ---- MatConvNet


def matconvnet(path: Path, layers: dict[str, list[np.ndarray]], form: str) -> Path:
    """``layers``: kernels (height, width, in, out), red first, and biases. ``form``: "vgg-face", "net" or "filters"."""
    cells = []
    for name, (kernel, bias) in layers.items():
        pair = np.empty((1, 2), object)
        pair[0, 0], pair[0, 1] = kernel, bias.reshape(-1, 1)
        weights = {"filters": kernel, "biases": bias.reshape(1, -1)} if form == "filters" else {"weights": pair}
        cells.append({"name": name, "type": "conv", "stride": np.array([[1.0, 1.0]]), **weights})
        cells.append({"name": name.replace("conv", "relu"), "type": "relu"})
    cells.append({"name": "prob", "type": "softmax"})
    listed = np.empty((1, len(cells)), object)
    for place, cell in enumerate(cells):
        listed[0, place] = cell
    net = {"layers": listed, "meta": {"normalization": {"averageImage": np.ones((1, 1, 3), np.float32)}}}
    savemat(path, {"net": net} if form == "net" else net)
    return path
