"""The one module that knows which engine runs below Keras: determinism and the name of the device."""

import keras

from . import records

BACKEND = keras.backend.backend()


def make_deterministic(seed: int) -> None:
    """Seed Python, NumPy and Keras, and ask the engine for deterministic kernels.

    On JAX with a GPU the kernels are chosen by ``XLA_FLAGS=--xla_gpu_deterministic_ops=true``, read when JAX starts;
    ``runs`` sets it for the kernels that it starts.
    """
    keras.utils.set_random_seed(seed)
    if BACKEND == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()


def device() -> dict:
    """What computes here: ``kind`` ("cpu" or "gpu"), ``name``, ``threads`` (of the CPU given to this process)."""
    gpus = []
    if BACKEND == "tensorflow":
        import tensorflow

        gpus = [
            tensorflow.config.experimental.get_device_details(gpu).get("device_name", "GPU")
            for gpu in tensorflow.config.list_physical_devices("GPU")
        ]
    elif BACKEND == "jax":
        import jax

        gpus = [gpu.device_kind for gpu in jax.devices() if gpu.platform == "gpu"]
    return records.cpu() | ({"kind": "gpu", "name": gpus[0]} if gpus else {})
