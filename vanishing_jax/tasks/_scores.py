"""Losses and metrics that tasks share, averaged over what is scored and nothing else."""

import jax.numpy as jnp
import optax
from jaxtyping import Bool, Float, Int

from .._types import Array, PyTree
from ._padded import Padded

NOT_SCORED = -1
"""The label of a step that is not scored."""


def values_of(targets: PyTree) -> Array:
    """Return the targets themselves, without lengths."""
    return targets.values if isinstance(targets, Padded) else targets


def squared_error(outputs: Float[Array, "*batch 1"], targets: PyTree) -> Array:
    """Return the mean squared error of one number per sequence."""
    return jnp.square(outputs[..., 0] - values_of(targets)).mean()


def share_within(outputs: Float[Array, "*batch 1"], targets: PyTree, tolerance: float) -> Array:
    """Return the share of outputs that are less than `tolerance` off."""
    error = jnp.abs(outputs[..., 0] - values_of(targets))
    return (error < tolerance).astype(outputs.dtype).mean()


def cross_entropy(outputs: Float[Array, "*batch classes"], labels: Int[Array, "*batch"]) -> Array:
    """Return the mean cross-entropy of one label per sequence, in nats."""
    return optax.softmax_cross_entropy_with_integer_labels(outputs, labels).mean()


def accuracy(outputs: Float[Array, "*batch classes"], labels: Int[Array, "*batch"]) -> Array:
    """Return the share of sequences whose largest output is the label's."""
    return _is_right(outputs, labels).mean()


def step_cross_entropy(
    outputs: Float[Array, "*batch time classes"], labels: Int[Array, "*batch time"]
) -> Array:
    """Return the mean cross-entropy over the steps whose label is not `NOT_SCORED`, in nats.

    First over the steps of each sequence, then over sequences.
    """
    scored = labels != NOT_SCORED
    known = jnp.maximum(labels, 0)  # any class: what it gives is not counted
    errors = optax.softmax_cross_entropy_with_integer_labels(outputs, known)
    return mean_where(errors, scored)


def step_accuracy(
    outputs: Float[Array, "*batch time classes"], labels: Int[Array, "*batch time"]
) -> Array:
    """Return the share of right steps, averaged as in `step_cross_entropy`."""
    return mean_where(_is_right(outputs, labels), labels != NOT_SCORED)


def mean_where(values: Float[Array, "*batch time"], scored: Bool[Array, "*batch time"]) -> Array:
    """Return the mean over sequences of the mean of `values` over the scored steps of each.

    Every sequence counts the same whatever its length, so that the expectation does not depend on
    which sequences share a batch. A sequence without any scored step counts as 0.
    """
    total = jnp.where(scored, values, jnp.zeros((), values.dtype)).sum(axis=-1)
    count = scored.sum(axis=-1).astype(values.dtype)
    return (total / jnp.maximum(count, 1)).mean()


def _is_right(outputs, labels) -> Array:
    return (jnp.argmax(outputs, axis=-1).astype(labels.dtype) == labels).astype(outputs.dtype)
