"""Exports a trained network to files that need no Keras: ONNX, and LiteRT in 8 bits. Both map faces to probabilities.

Each face is looked at twice, as it is and mirrored, and the logits are averaged: the usual test-time augmentation by a
flip (Krizhevsky et al. 2012). Emotions have no left and right.

The ONNX graph is written node by node: for a plain stack of layers this is less code than patching a converter, and
works with every Keras backend.
"""

import tempfile
from pathlib import Path

import keras
import numpy as np

from .. import models
from ..data.emotions import FER2013
from ..files import arrays, reason, refused
from ..training import backends
from ..training.batches import each_standardised

OPSET, IR = 17, 8
"""Versions of ONNX that every recent runtime supports."""


def trained(file: Path, name: str, options: dict) -> keras.Model:
    """The network that a run kept (``records.NETWORK``), in float32 and without layers that only training needs.

    ``name`` and ``options``: its builder and the builder's arguments. Raises ValueError if the file is damaged, of
    another network, or of weights that are not finite.
    """
    try:
        kept = keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # zip, JSON and HDF5 are in it, and raise all sorts
        raise refused(file, f"no network that Keras loads ({reason(error)})", "one", "train it again") from error
    inner = kept.layers[-1] if isinstance(kept.layers[-1], keras.Model) else kept  # after augmentation, if there is any
    keras.config.set_dtype_policy("float32")
    network = models.build(name, options)
    try:
        network.set_weights([keras.ops.convert_to_numpy(weight) for weight in inner.weights])
    except ValueError as error:
        raise refused(file, f"another network ({reason(error)})", f"{name} with {options}", "train it again") from error
    models.check_finite(network, file, "train it again")
    return network


def view_logits(network: keras.Model, faces: np.ndarray) -> np.ndarray:
    """Logits of each face and of its mirror image, (2, k, 7) float32, for ``faces`` (k, 48, 48) uint8.

    The files compute their mean, then apply the temperature. Raises ValueError for logits that are not finite.
    """
    seen = each_standardised(faces)
    logits = np.stack([network.predict(view, batch_size=256, verbose=0) for view in (seen, seen[:, :, ::-1])])
    arrays.check_finite(np.moveaxis(logits, 1, 0), network.name, "train it again")
    return logits


def to_onnx(network: keras.Model, temperature: float, facts: dict[str, str]) -> bytes:
    """A network as an ONNX file: ``faces`` (k, 48, 48) uint8 in, ``probabilities`` (k, 7) float32 out.

    For networks trained on faces standardised each by its own mean and deviation. The graph does this first, and
    divides the mean logits by ``temperature`` last. ``facts`` go into the file's metadata, with the emotions' names and
    the temperature. Raises ValueError for a layer that it cannot write.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights = [], []

    def constant(name: str, value, dtype=np.float32) -> str:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(keras.ops.convert_to_numpy(value), dtype), name))
        return name

    def node(kind: str, *inputs: str, name: str = "", **attributes) -> str:
        nodes.append(helper.make_node(kind, inputs, [name or f"{kind.lower()}_{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    x = node("Unsqueeze", node("Cast", "faces", to=TensorProto.FLOAT), constant("channel", [1], np.int64))
    # Of one channel, this is (x - mean) / sqrt(variance + 1) of each picture: ``batches.each_standardised``.
    x = node("InstanceNormalization", x, constant("one", [1.0]), constant("zero", [0.0]), epsilon=1.0)
    # The second half of the batch is the first mirrored: its columns from last to first.
    mirror = {"start": -1, "end": -(2**63), "axis": 3, "step": -1}
    slices = [constant(f"mirror_{name}", [value], np.int64) for name, value in mirror.items()]
    x = node("Concat", x, node("Slice", x, *slices), axis=0)
    for layer in network.layers:
        kind, config, name = type(layer).__name__, layer.get_config(), layer.name
        if kind == "Conv2D":
            # Keras: height, width, in, out.
            kernel = constant(f"{name}_kernel", np.transpose(keras.ops.convert_to_numpy(layer.kernel), (3, 2, 0, 1)))
            bias = [constant(f"{name}_bias", layer.bias)] if layer.use_bias else []
            pad = {"same": "SAME_UPPER", "valid": "VALID"}[layer.padding]
            x = node("Conv", x, kernel, *bias, auto_pad=pad, strides=layer.strides, dilations=layer.dilation_rate)
        elif kind == "BatchNormalization":
            values = {key: getattr(layer, key) for key in ("gamma", "beta", "moving_mean", "moving_variance")}
            values = [constant(f"{name}_{key}", value) for key, value in values.items()]
            x = node("BatchNormalization", x, *values, epsilon=layer.epsilon)
        elif kind == "MaxPooling2D" and layer.padding == "valid":
            x = node("MaxPool", x, kernel_shape=layer.pool_size, strides=layer.strides)
        elif kind == "GlobalAveragePooling2D" and not layer.keepdims:
            x = node("Flatten", node("GlobalAveragePool", x))
        elif kind == "Dense":
            x = node("Gemm", x, constant(f"{name}_kernel", layer.kernel), constant(f"{name}_bias", layer.bias))
        elif kind not in ("ReLU", "Dropout"):
            raise ValueError(f"{name}: found a {kind}, expected a layer that can be written as ONNX; extend to_onnx")
        activation = "relu" if kind == "ReLU" else config.get("activation") or "linear"
        if activation not in ("relu", "linear"):
            raise ValueError(f"{name}: found the activation {activation}, expected relu or none; extend to_onnx")
        x = node("Relu", x) if activation == "relu" else x
    halves = node("Reshape", x, constant("halves", [2, -1, len(FER2013)], np.int64))
    x = node("ReduceMean", halves, axes=[0], keepdims=0)
    x = node("Div", x, constant("temperature", temperature))
    node("Softmax", x, name="probabilities", axis=1)

    faces = helper.make_tensor_value_info("faces", TensorProto.UINT8, ["k", *network.input_shape[1:3]])
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["k", len(FER2013)])
    model = helper.make_model(
        helper.make_graph(nodes, network.name, [faces], [output], weights),
        producer_name="fer_lib",
        ir_version=IR,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, {"emotions": ",".join(FER2013), "temperature": f"{temperature:.6g}", **facts})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def to_litert(network: keras.Model, temperature: float, faces: np.ndarray) -> bytes:
    """A network in 8 bits as a LiteRT file: one *standardised* face (1, 48, 48, 1) float32 in, (1, 7) float32 out.

    ``faces`` (k, 48, 48, 1) float32, standardised, some hundreds of its training faces, give the ranges of its
    activations. Raises RuntimeError on any backend but TensorFlow, whose converter this is.
    """
    if backends.BACKEND != "tensorflow":
        raise RuntimeError(f"LiteRT files are written by TensorFlow: found Keras on {backends.BACKEND}; make it there")
    import tensorflow

    face = keras.Input(network.input_shape[1:], batch_size=1)
    both = network(keras.ops.concatenate([face, keras.ops.flip(face, axis=2)], axis=0))
    mean = keras.ops.mean(both, axis=0, keepdims=True)
    whole = keras.Model(face, keras.layers.Softmax()(mean / temperature))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        whole.export(
            str(file),
            format="litert",
            verbose=False,
            input_signature=[keras.InputSpec(shape=(1, *network.input_shape[1:]), dtype="float32")],
            optimizations=[tensorflow.lite.Optimize.DEFAULT],
            representative_dataset=lambda: ([face[None]] for face in faces),
        )
        return file.read_bytes()
