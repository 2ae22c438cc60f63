"""Losses and metrics that tasks share, averaged over what is scored and nothing else."""

from collections.abc import Callable

import jax.numpy as jnp
import optax
from jaxtyping import Bool, Float, Int

from .._types import Array, PyTree
from ._padded import Padded, values_of, zero_beyond

NOT_SCORED = -1
"""The label of a step that is not scored."""


def cross_entropies(
    outputs: Float[Array, "*batch classes"], labels: Int[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """Return the cross-entropy of each label, in nats."""
    return optax.softmax_cross_entropy_with_integer_labels(outputs, labels)


def hits(
    outputs: Float[Array, "*batch classes"], labels: Int[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """Return 1 where the largest output is the label's, else 0."""
    return (jnp.argmax(outputs, axis=-1).astype(labels.dtype) == labels).astype(outputs.dtype)


def label_score(
    measure: Callable[[Array, Array], Array],
    outputs: Float[Array, "*batch classes"],
    targets: PyTree,
    every_step: bool,
) -> Array:
    """Return the mean of `measure(outputs, labels)` over sequences, or over their scored steps.

    Scored are the steps within each sequence whose label is not `NOT_SCORED`.
    """
    labels = values_of(targets)
    if not every_step:
        return measure(outputs, labels).mean()
    if isinstance(targets, Padded):
        mask = targets.mask(outputs.shape[-2])
        outputs = zero_beyond(outputs, mask)
        labels = jnp.where(mask, labels, jnp.asarray(NOT_SCORED, labels.dtype))
    known = jnp.maximum(labels, 0)  # any class: what it gives is not counted
    return mean_where(measure(outputs, known), labels != NOT_SCORED)


def number_score(
    measure: Callable[[Array], Array],
    outputs: Float[Array, "*batch output"],
    targets: PyTree,
    every_step: bool,
) -> Array:
    """Return the mean of `measure(outputs - targets)`, over the steps within each sequence."""
    values = values_of(targets)
    if not (every_step and isinstance(targets, Padded)):
        return measure(outputs - values).mean()
    mask = targets.mask(outputs.shape[-2])
    errors = measure(zero_beyond(outputs, mask) - zero_beyond(values, mask))
    return mean_where(errors.mean(axis=-1), mask)


def mean_where(values: Float[Array, "*batch time"], scored: Bool[Array, "*batch time"]) -> Array:
    """Return the mean over sequences of the mean of `values` over the scored steps of each.

    Every sequence counts the same whatever its length, so that the expectation does not depend on
    which sequences share a batch. A sequence without any scored step counts as 0.
    """
    total = jnp.where(scored, values, jnp.zeros((), values.dtype)).sum(axis=-1)
    count = scored.sum(axis=-1).astype(values.dtype)
    return (total / jnp.maximum(count, 1)).mean()
