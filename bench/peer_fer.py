"""Runs the PyPI package ``fer`` on the input from ``peers.py``, in ``.venv-peers``, which has no fer_lib.

``python peer_fer.py video.mkv ...`` prints a JSON object: for each video and each of its two detectors the faces found
and the seconds for each frame, from reading it to its emotions; MTCNN is left out without PyTorch. ``python peer_fer.py
faces.npy predictions.npz`` reads faces, (n, 48, 48) uint8, and writes the probabilities of its two networks, (n, 7):
``int8``, which it takes by default, and ``float``.
"""

import json
import sys
import time
from importlib.metadata import version

import cv2
import numpy as np
from fer.fer import FER


def has_mtcnn() -> bool:
    """Whether its second detector runs: with this environment's PyTorch, or Debian's if that is for this Python."""
    sys.path.append("/usr/lib/python3/dist-packages")  # the last place to look
    try:
        import facenet_pytorch  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def watch(path: str, mtcnn: bool) -> dict:
    """Called as in its README: ``FER().detect_emotions(frame)``, or ``FER(mtcnn=True)``."""
    detector, video, seconds, found = FER(mtcnn=mtcnn), cv2.VideoCapture(path), [], 0
    detector.detect_emotions(np.zeros((480, 640, 3), np.uint8))
    while True:
        started = time.perf_counter()
        whole, frame = video.read()
        if not whole:
            return {"found": found, "seconds": seconds}
        found += len(detector.detect_emotions(frame))
        seconds.append(time.perf_counter() - started)


def predict(faces: np.ndarray) -> dict[str, np.ndarray]:
    """Both networks' probabilities for faces prepared as ``detect_emotions`` prepares its crops."""
    faces = np.stack([cv2.resize(face, (64, 64)) for face in faces]).astype(np.float32)
    faces = (faces / 255 - 0.5) * 2
    network = FER(use_tflite=False)
    parts = np.array_split(faces[..., None], 1 + len(faces) // 256)
    return {
        "int8": np.array(FER()._classify_emotions(faces)),
        "float": np.concatenate([np.array(network._classify_emotions(part)) for part in parts]),
    }


if __name__ == "__main__":
    if sys.argv[1].endswith(".npy"):
        np.savez(sys.argv[2], **predict(np.load(sys.argv[1])))
    else:
        about = {"fer": version("fer"), "TensorFlow": version("tensorflow"), "OpenCV": cv2.__version__}
        detectors = {"haar": False} | ({"mtcnn": True} if has_mtcnn() else {})
        seen = {path: {name: watch(path, which) for name, which in detectors.items()} for path in sys.argv[1:]}
        print(json.dumps({"versions": about} | seen))
