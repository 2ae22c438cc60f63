"""What the two maps over gains share: checks of their axes, weights of gain 1, chunks."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.random as jr
import numpy as np

from .._types import Array, Key
from ._result import versions
from ._settings import describe_key, describe_precision


def checked_axis(name: str, values: Any, *, above: float | None = None) -> np.ndarray:
    """Return the values of an axis as floats: finite, increasing, and at least 0 or more."""
    try:
        axis = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        axis = np.zeros(())
    if isinstance(values, str) or axis.ndim != 1:
        raise TypeError(
            f"expected `{name}` as a sequence of numbers; got {values!r}. One value: [0.1]."
        )
    if axis.size == 0:
        raise ValueError(f"expected at least one value in `{name}`; got none.")
    if not np.isfinite(axis).all():
        raise ValueError(f"expected finite `{name}`; got {axis[~np.isfinite(axis)][0]}.")
    low = axis.min() < 0 if above is None else axis.min() <= above
    if low:
        bound = "of at least 0" if above is None else f"above {above:g}"
        raise ValueError(f"expected `{name}` {bound}; got {axis.min():g}.")
    if (np.diff(axis) <= 0).any():
        raise ValueError(f"expected `{name}` in increasing order, each once; got {list(axis)}.")
    return axis


def unit_matrix(weights: str, n: int, *, key: Key) -> Array:
    """Return recurrent weights of gain 1: Gaussian of variance 1/n, or orthogonal."""
    if weights == "orthogonal":
        return jr.orthogonal(key, n)
    return jr.normal(key, (n, n)) / np.sqrt(n)


def cell_keys(key: Key, shape: tuple[int, ...]) -> Key:
    """Return a key for each place of a grid; a place keeps its key when the grid grows.

    The last index is the seed.
    """

    def one(*indices):
        found = key
        for index in indices:
            found = jr.fold_in(found, index)
        return found

    places = [np.ravel(index).astype(np.uint32) for index in np.indices(shape)]
    return jax.vmap(one)(*places)


def in_chunks(total: int, size: int, bar: Any, compute: Callable[[np.ndarray], Any]) -> Any:
    """Return `compute(indices)` for all indices, concatenated; chunks have one size.

    The last chunk is filled up with its last index, so that nothing is compiled for it.
    """
    found = []
    for indices, count in _chunks(total, size):
        values = jax.device_get(compute(indices))
        found.append(jax.tree.map(lambda x, count=count: np.asarray(x, np.float64)[:count], values))
        bar.update(count)
    return jax.tree.map(lambda *pieces: np.concatenate(pieces), *found)


def _chunks(total: int, size: int) -> Iterator[tuple[np.ndarray, int]]:
    for start in range(0, total, size):
        stop = min(start + size, total)
        yield np.minimum(np.arange(start, start + size), total - 1), stop - start


def attributes(settings: dict[str, Any], key: Key) -> dict[str, Any]:
    """Return the attributes that say how a map was made."""
    settings = {**settings, "key": describe_key(key), "precision": describe_precision()}
    return {"settings": json.dumps(settings), "versions": json.dumps(versions())}


def rank_correlation(x: Any, y: Any) -> float:
    """Return Spearman's rank correlation; infinities have ranks, ties their mean rank."""
    ranks = np.stack([_ranks(np.asarray(values, float)) for values in (x, y)])
    if (np.ptp(ranks, axis=1) == 0).any():
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])


def _ranks(x: np.ndarray) -> np.ndarray:
    below, not_above = x[:, None] > x, x[:, None] >= x
    return (below.sum(axis=1) + not_above.sum(axis=1)) / 2
