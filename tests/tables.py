"""One row per public thing that has siblings; the conformance test checks that none is missing.

Rows are functions, so that nothing is built before the import hook of the test suite is installed.
"""

import pathlib
import tempfile

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest


def _inputs(steps=3, size=2):
    return jr.normal(jr.key(1), (steps, size))


def _vanilla(activation):
    from vanishing_jax import cells

    cell = cells.VanillaCell(2, 3, activation=activation, key=jr.key(0))
    return cell, cell.initial_state(), _inputs()


def _own(name, **options):
    from vanishing_jax import cells

    cell = getattr(cells, name)(2, 3, key=jr.key(0), **options)
    return cell, cell.initial_state(), _inputs()


def _wrapped(name, *arguments, inside="VanillaCell", **options):
    from vanishing_jax import cells

    cell = getattr(cells, inside)(2, 3, key=jr.key(0))
    cell = getattr(cells, name)(cell, *arguments, **options)
    return cell, cell.initial_state(), _inputs()


def _stacked(residual=False):
    from vanishing_jax import cells

    key_lower, key_upper = jr.split(jr.key(0))
    lower = cells.LSTMCell(2, 3 if residual else 2, key=key_lower)
    upper = cells.VanillaCell(3 if residual else 2, 3, key=key_upper)
    cell = cells.StackedCell((lower, upper), residual=residual)
    return cell, cell.initial_state(), _inputs()


def _projected():
    from vanishing_jax import cells

    cell = cells.ProjectedLSTMCell(2, 3, 2, key=jr.key(0))
    return cell, cell.initial_state(), _inputs()


def _bidirectional():
    from vanishing_jax import cells

    keys = jr.split(jr.key(0))
    cell = cells.BidirectionalCell(*(cells.VanillaCell(2, 3, key=key) for key in keys))
    inputs = _inputs()
    return cell, cell.initial_state(), (inputs, inputs[::-1])


def _masked():
    cell, state0, inputs = _wrapped("MaskedCell", inside="LSTMCell")
    return cell, state0, (inputs, jnp.array([True, False, True]))


def _function():
    from vanishing_jax import cells

    def step(params, state, input):
        return {"a": jnp.tanh(params * state["b"] + input), "b": state["a"] * state["b"]}

    state0 = {"a": jnp.array([0.5, -0.2]), "b": jnp.array([0.3, 0.9])}
    return cells.FunctionCell(step, jnp.array([1.5, -0.7])), state0, _inputs()


def _equinox():
    import equinox as eqx

    module = eqx.nn.LSTMCell(2, 3, key=jr.key(0))
    return module, (jnp.zeros(3), jnp.zeros(3)), _inputs()


def _flax():
    from flax import linen

    from vanishing_jax import cells

    module = linen.GRUCell(3, dtype=jnp.result_type(float), param_dtype=jnp.result_type(float))
    with jax.numpy_dtype_promotion("standard"):
        variables = module.init(jr.key(0), jnp.zeros(3), jnp.zeros(2))
    return cells.FlaxCell(module, variables), jnp.zeros(3), _inputs()


def _haiku():
    hk = pytest.importorskip("haiku", reason="dm-haiku is not installed: extra peers")
    from vanishing_jax import cells

    weight = jr.normal(jr.key(0), (2 + 3, 12))
    params = {"lstm/linear": {"w": weight, "b": jnp.linspace(-1, 1, 12)}}
    cell = cells.HaikuCell(lambda: hk.LSTM(3), params)
    return cell, cell.initial_state(), _inputs()


def _keras():
    keras = pytest.importorskip("keras", reason="keras is not installed: extra peers")
    from vanishing_jax import cells

    layer = keras.layers.GRUCell(3, kernel_initializer="ones", recurrent_initializer="ones")
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        layer.build((None, 2))
    cell = cells.KerasCell(layer)
    return cell, cell.initial_state(), _inputs()


CELLS = {
    "VanillaCell": lambda: _vanilla("tanh"),
    "VanillaCell, sigmoid": lambda: _vanilla("sigmoid"),
    "VanillaCell, relu": lambda: _vanilla("relu"),
    "VanillaCell, identity": lambda: _vanilla("identity"),
    "VanillaCell, own activation": lambda: _vanilla(jnp.sin),
    "LSTMCell": lambda: _own("LSTMCell"),
    "GRUCell": lambda: _own("GRUCell"),
    "LRUCell": lambda: _own("LRUCell"),
    "S4DCell": lambda: _own("S4DCell", initial="inv", step_max=1.0),
    "S4DCell, bilinear": lambda: _own("S4DCell", discretization="bilinear"),
    "SelectiveCell": lambda: _own("SelectiveCell"),
    "MinGRUCell": lambda: _own("MinGRUCell"),
    "MinLSTMCell": lambda: _own("MinLSTMCell"),
    "ResetBeforeGRUCell": lambda: _own("ResetBeforeGRUCell"),
    "MGUCell": lambda: _own("MGUCell"),
    "PeepholeLSTMCell": lambda: _own("PeepholeLSTMCell"),
    "PeepholeLSTMCell, coupled": lambda: _own("PeepholeLSTMCell", coupled=True, clip=3.0),
    "ProjectedLSTMCell": _projected,
    "BidirectionalCell": _bidirectional,
    "MaskedCell": _masked,
    "StackedCell": _stacked,
    "StackedCell, residual": lambda: _stacked(residual=True),
    "LayerNormCell, joint": lambda: _wrapped("LayerNormCell"),
    "LayerNormCell, LSTM": lambda: _wrapped(
        "LayerNormCell", inside="LSTMCell", placement="separate", epsilon=0.1
    ),
    "LayerNormCell, GRU": lambda: _wrapped("LayerNormCell", inside="GRUCell"),
    "BatchNormCell, LSTM": lambda: _wrapped("BatchNormCell", inside="LSTMCell", num_steps=2),
    "BatchNormCell, input": lambda: _wrapped("BatchNormCell", num_steps=2, placement="input"),
    "ResidualCell": lambda: _wrapped("ResidualCell"),
    "LeakyCell": lambda: _wrapped("LeakyCell", 0.3),
    "ClippedGradientCell": lambda: _wrapped("ClippedGradientCell", 100.0),
    "TruncatedCell": lambda: _wrapped("TruncatedCell", 2),
    "FunctionCell": _function,
    "EquinoxCell": _equinox,
    "FlaxCell": _flax,
    "HaikuCell": _haiku,
    "KerasCell": _keras,
}
"""name -> () -> (cell or module, state0, inputs of 3 steps)"""


def _mitigation(name, *arguments):
    from vanishing_jax import mitigations

    return getattr(mitigations, name)(*arguments)


def _task(maker, *args, **options):
    from vanishing_jax import tasks

    return getattr(tasks, maker)(*args, **options)


def _classification():
    labels = np.arange(12) % 3
    inputs = np.stack([labels, labels // 2], axis=1)[:, :, None].astype(jnp.result_type(float))
    return _task(
        "SequenceClassification", (inputs, labels), (inputs, labels), num_classes=3, name="toy"
    )


def _mnist():
    from .tasks.files import write_mnist

    with tempfile.TemporaryDirectory() as folder:
        write_mnist(pathlib.Path(folder))
        return _task("mnist", folder)


def series():
    """Return inputs, targets and lengths of 20 random walks, to be predicted one step ahead."""
    rng = np.random.RandomState(0)
    walk = np.cumsum(rng.normal(size=(20, 7, 2)), axis=1)
    return walk[:, :-1].copy(), walk[:, 1:, :1].copy(), rng.randint(3, 7, 20)


def _time_series():
    inputs, targets, lengths = series()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "walk.npz"
        np.savez(path, inputs=inputs, targets=targets, lengths=lengths)
        return _task("time_series", path)


TASKS = {
    "Adding": lambda: _task("Adding", 10),
    "Adding, bai": lambda: _task("Adding", 10, variant="bai"),
    "Adding, pascanu": lambda: _task("Adding", 22, variant="pascanu"),
    "Adding, hochreiter": lambda: _task("Adding", 28, variant="hochreiter"),
    "Multiplication": lambda: _task("Multiplication", 6),
    "Multiplication, hochreiter": lambda: _task("Multiplication", 28, variant="hochreiter"),
    "CopyMemory": lambda: _task("CopyMemory", 9, symbols=3, recalled=2),
    "CopyMemory, gu": lambda: _task("CopyMemory", 9, symbols=3, recalled=2, variant="gu"),
    "TemporalOrder": lambda: _task("TemporalOrder", 20),
    "TemporalOrder, 3-bit": lambda: _task("TemporalOrder", 20, events=3),
    "TemporalOrder, hochreiter": lambda: _task("TemporalOrder", 22, variant="hochreiter"),
    "DelayedXor": lambda: _task("DelayedXor", 7, delay=2),
    "DelayedXor, copy": lambda: _task("DelayedXor", 7, delay=2, variant="copy"),
    "RandomPermutation": lambda: _task("RandomPermutation", 5, symbols=6),
    "RandomPermutation, every step": lambda: _task(
        "RandomPermutation", 5, symbols=6, variant="every step"
    ),
    "Warping": lambda: _task("Warping", 9, factor=3, symbols=3),
    "Warping, variable": lambda: _task(
        "Warping", 9, factor=3, symbols=3, variant="variable warping"
    ),
    "Warping, variable padding": lambda: _task(
        "Warping", 9, factor=3, symbols=3, variant="variable padding"
    ),
    "CharacterLanguageModeling": lambda: _task(
        "CharacterLanguageModeling", 4, text=3 * "she sells sea shells by the sea shore "
    ),
    "SequenceClassification": _classification,
    "digits": lambda: _task("digits"),
    "mnist": _mnist,
    "TimeSeries": lambda: _task("TimeSeries", *series()),
    "TimeSeries, labels": lambda: _task("TimeSeries", series()[0], np.arange(20) % 3),
    "time_series": _time_series,
}
"""class or function in `vanishing_jax.tasks`, variant -> () -> a small task"""

MITIGATIONS = {
    "chrono": lambda: _mitigation("chrono", 30),
    "critical": lambda: _mitigation("critical", 0.5),
    "clip_by_global_norm": lambda: _mitigation("clip_by_global_norm", 0.1),
    "clip_by_value": lambda: _mitigation("clip_by_value", 0.1),
    "clip_state_gradient": lambda: _mitigation("clip_state_gradient", 0.1),
    "forget_bias": lambda: _mitigation("forget_bias", 2.0),
    "glorot": lambda: _mitigation("glorot"),
    "he": lambda: _mitigation("he"),
    "identity": lambda: _mitigation("identity"),
    "initial_state_noise": lambda: _mitigation("initial_state_noise"),
    "leaky": lambda: _mitigation("leaky"),
    "normal": lambda: _mitigation("normal", 0.1),
    "orthogonal": lambda: _mitigation("orthogonal"),
    "recurrent_learning_rate": lambda: _mitigation("recurrent_learning_rate"),
    "residual": lambda: _mitigation("residual"),
    "singular_value_band": lambda: _mitigation("singular_value_band", 0.1),
    "soft_orthogonality": lambda: _mitigation("soft_orthogonality"),
    "truncate": lambda: _mitigation("truncate", 2),
    "weight_decay": lambda: _mitigation("weight_decay", 0.1),
}
"""name of the function in `vanishing_jax.mitigations` -> () -> mitigation"""
