"""Frames, videos and a stand-in for the classifier, for the tests of fer_lib.live. Also run as a program: the command
``python -m fer_lib live`` with the stand-in, for tests that need a process of its own."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np

from fer_lib.data import drawn_faces
from fer_lib.data.emotions import FER2013


class Brightness:
    """A classifier by a crop's mean grey level: the darkest is angry, the brightest neutral."""

    emotions, side = FER2013, 48

    def classify(self, faces: np.ndarray) -> np.ndarray:
        assert faces.dtype == np.uint8 and faces.shape[1:] == (48, 48)
        distance = faces.mean((1, 2))[:, None] / 255 * 6 - np.arange(7)
        likely = np.exp(-4 * distance**2)
        return (likely / likely.sum(1, keepdims=True)).astype(np.float32)


def install(modules: dict = sys.modules) -> None:
    """Put the stand-in where ``fer_lib.live`` looks for the trained classifier."""
    modules["fer_lib.live.inference"] = SimpleNamespace(load=lambda path=None: Brightness())


def frame(faces: dict[tuple[int, int], int], width: int = 640, height: int = 480, tone: int = 128) -> np.ndarray:
    """A grey frame, (height, width, 3) uint8, with drawn faces: place of the upper left corner -> side, in pixels."""
    image = np.full((height, width), tone, np.uint8)
    for k, ((x, y), side) in enumerate(faces.items()):
        image[y : y + side, x : x + side] = drawn_faces.draw(FER2013[(3 + k) % 7], size=side)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)


def video(path: Path, images, rate: int = 25, codec: str = "libx264", pix_fmt: str = "yuv420p", **options) -> Path:
    """Images of one size as a video file."""
    import av

    with av.open(str(path), "w") as file:
        stream = None
        for k, image in enumerate(images):
            if stream is None:
                stream = file.add_stream(codec, rate=rate, options=options)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = pix_fmt
            each = av.VideoFrame.from_ndarray(image, "bgr24")
            each.pts, each.time_base = k, Fraction(1, rate)
            file.mux(stream.encode(each))
        file.mux(stream.encode(None))
    return path


def like_yunet(path, onnx) -> None:
    """A network with YuNet's input and its twelve outputs, whose faces are the white squares of a grid of 32 pixels."""
    helper, constant = onnx.helper, onnx.numpy_helper.from_array
    nodes, weights, outputs = [], [], []
    for stride in (8, 16, 32):
        for name, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            key, score = f"{name}_{stride}", channels == 1
            slope = np.full((channels, 3, stride, stride), score / (3 * stride**2), np.float32)
            weights += [
                constant(slope, f"{key}w"),
                constant(np.full(channels, (-200 if stride == 32 else -1000) * score, np.float32), f"{key}b"),
                constant(np.array([1, -1, channels]), f"{key}s"),
            ]
            layers = [
                ("Conv", ["input", f"{key}w", f"{key}b"], {"kernel_shape": [stride] * 2, "strides": [stride] * 2}),
                *([("Sigmoid", [f"{key}0"], {})] if score else []),
            ]
            layers.append(("Transpose", [f"{key}{len(layers) - 1}"], {"perm": [0, 2, 3, 1]}))
            layers.append(("Reshape", [f"{key}{len(layers) - 1}", f"{key}s"], {}))
            for k, (kind, inputs, named) in enumerate(layers):
                output = key if kind == "Reshape" else f"{key}{k}"
                nodes.append(helper.make_node(kind, inputs, [output], **named))
            outputs.append(helper.make_tensor_value_info(key, onnx.TensorProto.FLOAT, [1, None, channels]))
    image = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, "height", "width"])
    graph = helper.make_graph(nodes, "like_yunet", [image], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


if __name__ == "__main__":
    install()
    from fer_lib import data
    from fer_lib.__main__ import main

    data.PROGRESS["delay"] = 0  # bars at once: a fast machine ends before one would come

    sys.exit(main(["live", *sys.argv[1:]]))
