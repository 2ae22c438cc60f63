"""One network of layers, one batch, one answer: do gradients vanish through its depth, and why."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from .._activations import activation_kinds
from .._checks import as_arrays, check_finite
from .._linearization import dense_bytes, gib
from .._linearize import MEMORY_LIMIT
from .._linearize_layers import Layer, activation_shapes, check_layers
from .._shared_layers import shared_layers
from .._tree import describe, same_structure, state_layout
from .._types import Array, PyTree
from ._effects import measure_effects
from ._gradient_rate import GradientRate, by_lag, gradient_rate
from ._inputs import no_gradient, on_host, probes_of_each, unit_vectors
from ._judgement import judged
from ._kept import LayersKept
from ._layer_diagnosis import LayerDiagnosis
from ._layer_interventions import INTERVENTIONS, IntervenedLayer, LayerTarget, modified
from ._layer_profile import carry_back, layer_activations, output_gradients

# Wider activations make no spectra: beyond, their bounds are infinite and O(L n^3) takes minutes.
_WIDEST = 900


class _Data(NamedTuple):
    """What goes through the layers, and what comes back."""

    x: PyTree
    batched: bool
    loss: Callable[[PyTree], Array] | None
    num_samples: int
    num_probes: int  # consecutive rows of one sample


def diagnose_layers(
    layers: Sequence[Layer],
    x: PyTree,
    *,
    loss: Callable[[PyTree], Array] | None = None,
    batched: bool = False,
) -> LayerDiagnosis:
    """Return whether gradients vanish or explode through the depth of a network, how far, and why.

    The diagnosis of `diagnose` with layers in the place of time steps. The gradient of the loss at
    the output is carried back layer by layer; its average growth is the *rate* in nats per layer,
    and the *horizon* the number of layers until it falls below 1e-3 of its start. The verdict
    compares the change over the whole depth to a factor of 1e-3 and 1e3, as `diagnose` does. A
    recurrence has one rate; a network of layers has a growth for each (`log_growth`), and the
    interval of the rate is about the samples, not about other layers. Each cause and each
    recommendation is an intervention (a skip, a norm, rescaled weights) re-measured on the same
    data.

    **Arguments:**

    - `layers`: a list of functions of one activation, as for `linearize_layers`.
    - `x`: the input of the first layer; with `batched=True` independent samples along the leading
      axis of every leaf. Batch normalization acts on a whole batch, which then is one sample:
      `batched=False` for x (batch, features), or several batches (count, batch, features).
    - `loss`: `loss(output) -> scalar`; of the batch of outputs if `batched`. Without one, random
      unit vectors at the output are carried back (the mean log of eight of them when there are
      fewer than four samples).
    - `batched`: whether x has a leading axis of independent samples.

    **Returns:** a `LayerDiagnosis`: print it, `.plot()`, `.save(folder)`, `.to_dict()`.

    **Raises:** as `linearize_layers`; `NonFiniteError` for NaN weights, activations or gradients;
    `ValueError` for a loss without gradient at the output.

    **Cost:** six forward and backward passes; layers that differ in their arrays alone are compiled
    once. `details()` adds three spectra of the first sample, O(L n^3), for widths up to 256; what
    else there is, spectra for widths up to 900, is computed when it is read.

    **Validity:** in logs throughout: right in float32 far beyond its range. Where widths differ the
    norm of a gradient changes with the number of its components, too: a layer from 100 to 10 that
    keeps the mean square of each component shows as a change by log(10)/2.

    **Example:**

    >>> import jax, jax.numpy as jnp, vanishing_jax as vj
    >>> layers = 12 * [lambda x: 0.5 * jnp.tanh(x)]
    >>> x = jax.random.normal(jax.random.key(1), (4, 4))
    >>> vj.diagnose_layers(layers, x, batched=True).verdict
    'vanishing'
    """
    layers = check_layers(layers)
    data = _data(as_arrays(x, "x"), loss, batched)
    check_finite(data.x, "input x")
    check_finite(eqx.filter(layers, eqx.is_inexact_array), "weights")
    shapes = activation_shapes(layers, *_samples([data.x], data))  # its errors say which
    # Layers that differ in their arrays alone become one program with the arrays as arguments.
    layers = shared_layers(layers, shapes[:-1])
    activations, log_norm = _passes(modified(layers), data)
    log_by_lag, base = _measured(log_norm, data)
    if np.isnan(base.rate):
        raise no_gradient(
            "the output", "for every sample", "Check that the loss reads the output it is given."
        )
    target = LayerTarget(
        layers,
        any(same_structure(a, b) for a, b in zip(shapes[:-1], shapes[1:], strict=True)),
        _kinds(layers, shapes),
        base.rate,
    )

    def measure(changed: list[IntervenedLayer]) -> GradientRate:
        return _measured(_passes(changed, data)[1], data)[1]

    effects, skipped = measure_effects(INTERVENTIONS, target, measure, "activations")
    depth = len(layers)
    widths = tuple(state_layout(a).size for a in shapes)
    missing = _missing(widths)
    if missing is not None:
        skipped["spectra"] = missing
    return LayerDiagnosis(
        **judged(base, effects, depth, unit="layer", samples="samples"),
        widths=widths,
        num_samples=data.num_samples,
        gradient_source="random output probe" if loss is None else "loss gradient",
        lags=np.arange(depth + 1),
        log_gradient_by_lag=log_by_lag,
        log_growth=_growth(log_by_lag),
        skipped=skipped,
        kept=LayersKept(layers, activations, _samples([data.x], data)[0], loss, batched, missing),
    )


def _kinds(layers, shapes) -> frozenset[str]:
    """Return the activations met; each program is looked at once."""
    distinct = {id(getattr(f, "program", f)): (f, x) for f, x in zip(layers, shapes, strict=False)}
    return frozenset(kind for f, x in distinct.values() for kind in activation_kinds(f, x))


def _missing(widths) -> str | None:
    """Return why there are no spectra, or None."""
    widest = max(widths)
    if widest > _WIDEST:
        return f"none: the widest activation has {widest} components, more than {_WIDEST}"
    needed = dense_bytes(len(widths) - 1, widest, np.float64)
    if needed > MEMORY_LIMIT:
        return f"none: Jacobians of widths up to {widest} need {gib(needed)}"
    return None


def _data(x, loss, batched) -> _Data:
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(x)}
    if batched and (len(sizes) != 1 or () in sizes or (0,) in sizes):
        raise ValueError(
            "expected x with a leading axis of samples, the same for all leaves, with "
            f"batched=True; got {describe(x)}."
        )
    samples = sizes.pop()[0] if batched else 1
    probes = probes_of_each(loss, samples)
    if probes > 1 and batched:
        x = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf), probes, axis=0), x)
    return _Data(x, batched, loss, samples, probes)


def _passes(layers, data: _Data):
    """Return the activations, and the log norm of what is carried back to each of them."""
    activations = layer_activations(layers, data.x, batched=data.batched)
    if data.loss is not None:
        vectors = output_gradients(activations[-1], data.loss, batched=data.batched)
    else:
        output = state_layout(_samples(activations[-1:], data)[0])
        vectors = unit_vectors(data.num_samples * data.num_probes, output.size, output.dtype)
    return activations, carry_back(layers, activations, vectors, batched=data.batched)[0]


def _samples(activations, data):
    """Return the activations of the first sample."""
    if not data.batched:
        return activations
    return [jax.tree.map(lambda leaf: on_host(leaf)[0], a) for a in activations]


def _measured(log_norm, data) -> tuple[Float[np.ndarray, "batch time_plus_one"], GradientRate]:
    last = np.full(len(log_norm), log_norm.shape[1] - 1)
    log_by_lag = by_lag(log_norm, last, data.num_probes)
    return log_by_lag, gradient_rate(log_by_lag)


def _growth(log_by_lag) -> Float[np.ndarray, "time"]:
    """Return the mean log change through each layer, over the samples that have one."""
    with np.errstate(invalid="ignore"):  # -inf - -inf behind an exact zero
        change = np.ma.masked_invalid(np.diff(log_by_lag, axis=1))
    return change.mean(axis=0).filled(-np.inf)[::-1]
