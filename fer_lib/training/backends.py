"""What differs between the backends below Keras: determinism, an epoch as one program, gradients, devices."""

import math
from contextlib import contextmanager, nullcontext
from functools import partial, reduce
from itertools import zip_longest
from unittest import mock

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


def _first(devices: int) -> list:
    """So many of the engine's devices: GPUs where there are any, else CPUs. Raises ValueError where they are fewer."""
    if BACKEND == "jax":
        import jax

        found = jax.devices()
        kind = found[0].platform
    else:
        import tensorflow

        listed = {kind: tensorflow.config.list_logical_devices(kind.upper()) for kind in ("gpu", "cpu")}
        kind = "gpu" if listed["gpu"] else "cpu"
        found = [each.name for each in listed[kind]]
    if not 1 <= devices <= len(found):
        expected = f"1 to {len(found)}, as many as {BACKEND} finds here ({kind})"
        raise ValueError(f"devices: found {devices}, expected {expected}; set DEVICES to that, or show it more of them")
    return found[:devices]


def spread(devices: int):
    """A context in which a network is built and trained that so many devices train together; nothing for one.

    Raises ValueError where there are not so many.
    """
    if devices == 1:
        return nullcontext()
    here = _first(devices)
    if BACKEND == "jax":
        return nullcontext()
    import tensorflow as tf

    # One device adds up what all have, always in the same order: NCCL's order is its own, and CPUs have none.
    return tf.distribute.MirroredStrategy(here, tf.distribute.ReductionToOneDevice()).scope()


def mirrored_steps(model: keras.Model):
    """On TensorFlow, for a model built within ``spread``: a function that trains one batch, a tuple of tensors whose
    first axis is that of the rows, by Keras' own training step on every device.

    Each device takes an equal part of the rows, and the gradients' mean is that of the batch; for the rest see
    ``_as_one``. A batch that cannot be divided evenly goes to every device as a whole: each does the same.
    """
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    count = strategy.num_replicas_in_sync

    @partial(tf.function, autograph=False)
    def step(data, parts: int, rows: int):
        with _as_one(parts, rows):
            strategy.run(model.train_step, args=(data,))

    def train(batch: tuple) -> None:
        rows = len(batch[0])
        parts = count if rows % count == 0 else 1
        each = rows // parts

        def part(context):
            at = context.replica_id_in_sync_group % parts * each
            return tuple(array[at : at + each] for array in batch)

        sums = [variable.numpy() for variable in model.metrics_variables] if parts == 1 else []
        step(strategy.experimental_distribute_values_from_function(part), parts, each)
        if parts == 1:  # every device has added the whole batch; the first step of all makes some of the variables
            for variable, value in zip_longest(model.metrics_variables, sums, fillvalue=0.0):
                variable.assign(value + (variable.numpy() - value) / count)

    return train


@contextmanager
def _as_one(parts: int, rows: int):
    """Within this TensorFlow's devices, of which each has one of ``parts`` of a batch, with ``rows`` rows, do what one
    device would: they draw the random numbers of the whole batch and each uses those of its part, and a layer's means
    and variances over rows are those of the whole batch. (Keras' ``synchronized`` layers take the variance from the
    mean of squares, which loses digits, and JAX cannot load them.)"""
    if parts == 1:
        yield
        return
    import tensorflow as tf
    from keras.src.backend.tensorflow import nn, random

    def own(drawn):
        at = tf.distribute.get_replica_context().replica_id_in_sync_group * rows
        return drawn[at : at + rows]

    def of_shape(draw):
        def drawn(shape, *rest, **more):
            if len(shape) == 0 or shape[0] != rows:
                return draw(shape, *rest, **more)
            return own(draw((parts * rows, *shape[1:]), *rest, **more))

        return drawn

    def dropout(inputs, rate, noise_shape=None, seed=None, draw=random.dropout):
        if noise_shape is not None or inputs.shape[0] != rows:
            return draw(inputs, rate, noise_shape, seed)
        return inputs * own(draw(tf.ones((parts * rows, *inputs.shape[1:]), inputs.dtype), rate, seed=seed))

    def moments(x, axes, keepdims, of_part=nn._compute_moments):
        if 0 not in axes:
            return of_part(x, axes, keepdims)
        mean = of_all(tf.reduce_mean(x, axes, keepdims=True))
        variance = of_all(tf.reduce_mean(tf.math.squared_difference(x, tf.stop_gradient(mean)), axes, keepdims=True))
        return (mean, variance) if keepdims else (tf.squeeze(mean, axes), tf.squeeze(variance, axes))

    def of_all(mean):
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, mean) / parts

    drawing = {"uniform": of_shape(random.uniform), "normal": of_shape(random.normal), "dropout": dropout}
    with mock.patch.multiple(random, **drawing), mock.patch.object(nn, "_compute_moments", moments):
        yield


def compiled_epochs(model: keras.Model, images, targets, weights, scale, batch_size: int, devices: int = 1):
    """On JAX, a function that trains one epoch: Keras' own training step, on a GPU in one compiled ``lax.scan``.

    The faces go to the device once: ``images`` (n, 48, 48) uint8, ``weights`` (n,) float32 or None; ``scale`` makes
    input of images. ``targets`` (n,) int32 or (n, k) float32 are like those of the epochs. The function takes an
    ``order`` of rows, (m,) int, the epoch's targets of all rows and what ``batches.epoch_mixing`` gives, and returns
    what ``fit`` would: the epoch's mean loss and metrics. ``fit`` itself hands each batch over from Python and, on a
    GPU, mostly waits for that. On a CPU the steps are called one by one: within a loop XLA gives a convolution one
    thread and a slow program.

    Several ``devices`` have a copy of everything each, and of every batch an equal part of the rows, or all of them
    where it cannot be divided evenly. What they compute together is what one would, up to rounding.
    """
    import jax

    model.test_on_batch(scale(images[:2]), targets[:2])  # builds the metrics
    model.optimizer.build(model.trainable_variables)
    variables = (
        model.trainable_variables, model.non_trainable_variables, model.optimizer.variables, model.metrics_variables,
    )  # fmt: skip

    here = _first(devices)
    mesh = jax.sharding.Mesh(here, ("rows",))
    everywhere, by_rows = (
        jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes)) for axes in ((), ("rows",))
    )
    put = jax.device_put if devices == 1 else partial(jax.device_put, device=everywhere)
    images, *weights = put((images,) if weights is None else (images, weights))

    def divided(array):
        if devices == 1:
            return array
        return jax.lax.with_sharding_constraint(array, everywhere if len(array) % devices else by_rows)

    def step(state, batch, data):
        images, *rest = map(divided, batches.shown(data, *batch))
        return model.train_step(state, (scale(images), *rest))[1]

    compiled = partial(jax.jit, donate_argnums=0, out_shardings=None if devices == 1 else everywhere)
    step_alone = compiled(step)

    def one_by_one(state, steps, data):
        for batch in zip(*steps):
            state = step_alone(state, batch, data)
        return state

    @compiled
    def scanned(state, steps, data):
        return jax.lax.scan(lambda state, batch: (step(state, batch, data), None), state, steps)[0]

    train = one_by_one if jax.default_backend() == "cpu" else scanned

    def epoch(order: np.ndarray, targets: np.ndarray, mixing: tuple = ()) -> dict:
        model.reset_metrics()
        data = (images, put(targets), *weights)
        state = tuple([variable.value for variable in group] for group in variables)
        if devices > 1:
            state = put(state)
        whole = len(order) // batch_size * batch_size
        each = (order, *mixing)
        evenly = tuple(array[:whole].reshape(-1, batch_size, *array.shape[1:]) for array in each)
        for part in (evenly, tuple(array[None, whole:] for array in each)):  # the last batch may be smaller
            if part[0].size:
                state = train(state, part, data)
        if devices > 1:  # predictions and checkpoints are one's
            state = jax.device_put(state, here[0])
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

    @tensorflow.function(reduce_retracing=True, autograph=False)  # it would leave files behind where it is killed
    def both(weights, *rest):
        with tensorflow.GradientTape() as tape:
            tape.watch(weights)
            value, more = function(weights, *rest)
        return (value, more), tape.gradient(value, weights, unconnected_gradients="zero")

    return both


def device(count: int = 1) -> dict:
    """What computes here: ``kind`` ("cpu" or "gpu"), ``name``, ``threads`` (of the CPU given to this process), and the
    ``count`` of devices that train together, where they are several. Raises ValueError where there are not so many."""
    gpus, several = [], {"count": len(_first(count))} if count != 1 else {}
    if BACKEND == "tensorflow":
        import tensorflow

        gpus = [
            tensorflow.config.experimental.get_device_details(gpu).get("device_name", "GPU")
            for gpu in tensorflow.config.list_physical_devices("GPU")
        ]
    elif BACKEND == "jax":
        import jax

        gpus = [gpu.device_kind for gpu in jax.devices() if gpu.platform == "gpu"]
    return records.cpu() | ({"kind": "gpu", "name": gpus[0]} if gpus else {}) | several
