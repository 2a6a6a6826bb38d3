"""What differs between the backends below Keras: determinism, an epoch as one program, gradients, devices."""

import math
from functools import partial, reduce

import keras
import numpy as np

from ..evaluation import records
from . import batches

BACKEND = keras.backend.backend()


def make_deterministic(seed: int, precision: str = "float32") -> None:
    """Seed Python, NumPy and Keras, ask the engine for deterministic kernels, and say how it multiplies float32.

    Left alone, both engines multiply float32 matrices on a newer GPU with 10 bits of mantissa, which the papers'
    machines did not; here they do at ``precision`` "tensorfloat32" alone. Raises ValueError for that without a GPU,
    which would give float32 another name.

    On JAX with a GPU the kernels are chosen by ``XLA_FLAGS=--xla_gpu_deterministic_ops=true``, read when JAX starts;
    ``runs`` sets it for the kernels that it starts.
    """
    short = precision == "tensorfloat32"
    if short and device()["kind"] != "gpu":
        raise ValueError("precision: found 'tensorfloat32' without a GPU, expected float32 or bfloat16")
    keras.utils.set_random_seed(seed)
    if BACKEND == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
        tensorflow.config.experimental.enable_tensor_float_32_execution(short)
    elif BACKEND == "jax":
        import jax
        from keras.src.backend.jax import nn

        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if short else "float32")
        nn.max_pool = _max_pool


def _max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """``keras.ops.max_pool`` on JAX for (n, height, width, channels), as the largest of shifted slices.

    The gradient of JAX's own pooling is a scatter, which XLA on a GPU makes deterministic by sorting, or one value
    after the other. Of equal values that are largest, each gets a part of the gradient, not the first all of it.
    """
    from jax import numpy as jnp

    (high, wide), (down, right) = ((x, x) if isinstance(x, int) else x for x in (pool_size, strides or pool_size))
    if padding == "same":
        over = [
            max(0, (math.ceil(side / step) - 1) * step + size - side)
            for side, size, step in zip(inputs.shape[1:3], (high, wide), (down, right))
        ]
        around = [(0, 0), *((total // 2, total - total // 2) for total in over), (0, 0)]
        inputs = jnp.pad(inputs, around, constant_values=-jnp.inf)
    rows, columns = inputs.shape[1] - high + 1, inputs.shape[2] - wide + 1
    slices = (inputs[:, i : i + rows : down, j : j + columns : right] for i in range(high) for j in range(wide))
    return reduce(jnp.maximum, slices)


def compiled_epochs(model: keras.Model, images, targets, weights, scale, batch_size: int):
    """On JAX, a function that trains one epoch: Keras' own training step, on a GPU in one compiled ``lax.scan``.

    The faces go to the device once: ``images`` (n, 48, 48) uint8, ``weights`` (n,) float32 or None; ``scale`` makes
    input of images. ``targets`` (n,) int32 or (n, k) float32 are like those of the epochs. The function takes an
    ``order`` of rows, (m,) int, the epoch's targets of all rows and what ``batches.epoch_mixing`` gives, and returns
    what ``fit`` would: the epoch's mean loss and metrics. ``fit`` itself hands each batch over from Python and, on a
    GPU, mostly waits for that. On a CPU the steps are called one by one: within a loop XLA gives a convolution one
    thread and a slow program.
    """
    import jax

    model.test_on_batch(scale(images[:2]), targets[:2])  # builds the metrics
    model.optimizer.build(model.trainable_variables)
    variables = (
        model.trainable_variables, model.non_trainable_variables, model.optimizer.variables, model.metrics_variables,
    )  # fmt: skip

    images, *weights = jax.device_put((images,) if weights is None else (images, weights))

    def step(state, batch, data):
        images, *rest = batches.shown(data, *batch)
        return model.train_step(state, (scale(images), *rest))[1]

    step_alone = jax.jit(step, donate_argnums=0)

    def one_by_one(state, steps, data):
        for batch in zip(*steps):
            state = step_alone(state, batch, data)
        return state

    @partial(jax.jit, donate_argnums=0)
    def scanned(state, steps, data):
        return jax.lax.scan(lambda state, batch: (step(state, batch, data), None), state, steps)[0]

    train = one_by_one if jax.default_backend() == "cpu" else scanned

    def epoch(order: np.ndarray, targets: np.ndarray, mixing: tuple = ()) -> dict:
        model.reset_metrics()
        data = (images, jax.device_put(targets), *weights)
        state = tuple([variable.value for variable in group] for group in variables)
        whole = len(order) // batch_size * batch_size
        each = (order, *mixing)
        evenly = tuple(array[:whole].reshape(-1, batch_size, *array.shape[1:]) for array in each)
        for part in (evenly, tuple(array[None, whole:] for array in each)):  # the last batch may be smaller
            if part[0].size:
                state = train(state, part, data)
        for group, values in zip(variables, state):
            for variable, value in zip(group, values):
                variable.assign(value)
        return {name: float(value) for name, value in model.get_metrics_result().items()}

    return epoch


def dataset(batches):
    """What Keras' ``fit`` trains from on TensorFlow: a sequence of ``batches``, tuples of arrays whose first axis is
    that of the rows, as a ``tf.data.Dataset``.

    Its autotuning is off, which Keras leaves on. The thread that tunes sleeps for 10 milliseconds, then for twice as
    long each time, and in TensorFlow 2.21 a long epoch does not end before it wakes: one of 45 seconds took 82.
    """
    import tensorflow as tf

    signature = tuple(tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in batches[0])
    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    made = tf.data.Dataset.from_generator(
        lambda: (batches[number] for number in range(len(batches))), output_signature=signature
    )
    return made.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(2).with_options(untuned)


def value_and_gradient(function):
    """The compiled form of a function of (weights, ...) -> (scalar, rest): it gives ((scalar, rest), gradients).

    ``weights`` is a list of tensors, and so are the gradients, one of each. The function must leave no trace of itself,
    as Keras' ``stateless_call`` does.
    """
    if BACKEND == "jax":
        import jax

        return jax.jit(jax.value_and_grad(function, has_aux=True))
    import tensorflow

    @tensorflow.function(reduce_retracing=True)
    def both(weights, *rest):
        with tensorflow.GradientTape() as tape:
            tape.watch(weights)
            value, more = function(weights, *rest)
        return (value, more), tape.gradient(value, weights, unconnected_gradients="zero")

    return both


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
