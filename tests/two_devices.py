"""Training on two devices that are halves of one CPU, in a process of its own: engines divide it only when they start.

As a program it takes a folder, a number of devices and names: it trains each protocol there, ``NAME.json``, and leaves
its history and logits beside it. Those that are named are killed, and leave their checkpoint alone.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from fer_lib import paths
from fer_lib.training.protocol import Protocol

HALVES = """
import os
if os.environ.get("KERAS_BACKEND") != "jax":
    import tensorflow
    cpu = tensorflow.config.list_physical_devices("CPU")[0]
    tensorflow.config.set_logical_device_configuration(cpu, [tensorflow.config.LogicalDeviceConfiguration()] * 2)
"""
"""What divides the CPU on TensorFlow; on JAX the ``environment`` does."""


def environment() -> dict[str, str]:
    return os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "TF_CPP_MIN_LOG_LEVEL": "3"}


class Killed(BaseException):
    pass


def train(folder: Path, devices: int, protocol: Protocol, name: str, killed: bool = False):
    """Train on drawn faces, with a checkpoint below the folder, which is gone on from; ``killed`` in the second epoch,
    before its state is kept, it returns None."""
    import keras

    from fer_lib.data import load_faces
    from fer_lib.training import loop

    def progress(line: str) -> None:
        if killed and line.startswith("epoch   2"):
            raise Killed

    keras.utils.clear_session()
    try:
        result, _ = loop.train(load_faces("drawn_faces"), protocol, 5, folder / name, progress, devices)
    except Killed:
        return None
    return result.history, result.logits


def train_apart(folder: Path, devices: int, killed: tuple = (), **protocols: Protocol) -> dict[str, tuple]:
    """``train`` each protocol in one other process, whose CPU is divided into two devices."""
    for name, protocol in protocols.items():
        (folder / f"{name}.json").write_text(json.dumps(asdict(protocol)))
    command = [sys.executable, __file__, str(folder), str(devices), *killed]
    path = {"PYTHONPATH": os.pathsep.join([str(paths.ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=environment() | path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return {
        name: (json.loads((folder / f"{name}.history").read_text()), dict(np.load(folder / f"{name}.npz")))
        for name in protocols
        if name not in killed
    }


def main(folder: Path, devices: int, killed: list[str]) -> None:
    exec(HALVES)
    for file in sorted(folder.glob("*.json")):
        protocol = Protocol(**json.loads(file.read_text()))
        if trained := train(folder, devices, protocol, file.stem, file.stem in killed):
            file.with_suffix(".history").write_text(json.dumps(trained[0]))
            np.savez(file.with_suffix(".npz"), **trained[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
