"""Batches of every task of the table, drawn once, for all tests of tasks."""

import functools as ft
from typing import Any, NamedTuple

import jax
import jax.random as jr
import numpy as np

from vanishing_jax.tasks import Padded

from .. import tables

BATCH = 10_000
FEW = 200  # sequences that are checked one by one, in Python
KEYS = jr.split(jr.key(0), 2)

# Compiled once and run once: optimizing would take four times as long as all the rest.
quick_jit = ft.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


class Draws(NamedTuple):
    """Two batches of a task, as NumPy arrays in one; `lengths` are of each sequence."""

    task: Any  # of the class that the row names
    inputs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray
    batches: Any  # as drawn by vmap over two keys

    def first(self):
        """Return (inputs, target, length) of a few sequences."""
        return zip(*(part[:FEW] for part in self[1:4]), strict=True)


@ft.cache
def draws(name: str) -> Draws:
    """Return the batches of one row of `tables.TASKS`."""
    task = tables.TASKS[name]()
    batches = quick_jit(jax.vmap(lambda key: task.sample(key, BATCH)))(KEYS)
    inputs, targets = jax.tree.map(lambda leaf: np.concatenate(np.asarray(leaf)), batches)
    lengths = np.full(2 * BATCH, task.length)
    if isinstance(inputs, Padded):
        lengths, inputs, targets = map(np.asarray, (inputs.length, inputs.values, targets.values))
    return Draws(task, np.asarray(inputs), targets, lengths, batches)


def of_class(*names: str) -> list[str]:
    """Return the rows of the table that belong to these classes."""
    return [row for row in tables.TASKS if row.split(",")[0] in names]


def assert_frequencies(counts, expected=None):
    """Compare counts with their expectations (equal ones), to five standard deviations."""
    counts = np.asarray(counts)
    expected = np.full(counts.shape, counts.mean()) if expected is None else np.asarray(expected)
    assert np.all(np.abs(counts - expected) <= 5 * np.sqrt(expected)), (counts, expected)
