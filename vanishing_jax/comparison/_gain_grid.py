"""What the two maps over gains share: axes, one network per point and seed, and the Dataset."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax

from .._types import Array, Key, PyTree
from ..theory._slopes import Activation
from ._result import versions
from ._settings import describe_key, describe_precision

if TYPE_CHECKING:
    import xarray as xr


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


def over_grid(
    compute: Callable[[dict[str, Array], Key], PyTree],
    axes: Sequence[Mapping[str, np.ndarray]],
    seeds: int,
    *,
    chunk: int,
    progress: bool,
    key: Key,
) -> Any:
    """Return what `compute` finds for each network of a grid, of shape (*axes, seed).

    Each axis is a dictionary of the numbers that vary along it. `compute(numbers, keys)` gets all
    of them for a chunk of networks, by name; the last chunk is filled up with its last network, so
    that nothing is compiled for it.
    """
    from tqdm import tqdm

    lengths = [len(next(iter(axis.values()))) for axis in axes]
    shape = (*lengths, seeds)
    total, keys, found = math.prod(shape), cell_keys(key, shape), []
    places = np.stack([np.ravel(index) for index in np.indices(shape)])
    with tqdm(total=total, disable=not progress, unit=" networks") as bar:
        for start in range(0, total, chunk):
            count = min(chunk, total - start)
            chosen = np.minimum(np.arange(start, start + chunk), total - 1)
            numbers = {
                name: jnp.asarray(values[places[i, chosen]])
                for i, axis in enumerate(axes)
                for name, values in axis.items()
            }
            values = jax.device_get(compute(numbers, keys[chosen]))
            found.append([np.asarray(x, np.float64)[:count] for x in values])
            bar.update(count)
    return [np.concatenate(pieces).reshape(shape) for pieces in zip(*found, strict=True)]


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


def each(function: Callable, *arguments: PyTree) -> PyTree:
    """Return `function` of every network, on a CPU one by one: their matrices stay in cache."""
    if jax.default_backend() == "cpu":
        return lax.map(lambda x: function(*x), arguments)
    return jax.vmap(function)(*arguments)


def unit_matrix(n: int, *, key: Key) -> Array:
    """Return recurrent weights of gain 1: Gaussian of variance 1/n."""
    return jr.normal(key, (n, n)) / np.sqrt(n)


def grid_dataset(
    variables: Sequence[tuple[str, tuple[str, ...], np.ndarray, str, str]],
    coords: Sequence[tuple[str, np.ndarray, str, str]],
    seeds: int,
    settings: dict[str, Any],
    key: Key,
    **found: float,
) -> "xr.Dataset":
    """Return the Dataset of a map.

    Variables are (name, dimensions, values, what it is, unit), coordinates the same without
    dimensions; attributes are `found` and the settings, each and, with key and precision, as JSON.
    """
    import xarray as xr

    made = settings | {"key": describe_key(key), "precision": describe_precision()}
    attrs = {"settings": json.dumps(made), "versions": json.dumps(versions())}
    data = {
        name: (dims, values, {"long_name": text, "units": unit})
        for name, dims, values, text, unit in variables
    }
    along = {
        name: (name, values, {"long_name": text, "units": unit})
        for name, values, text, unit in coords
    }
    known = {name: value for name, value in settings.items() if value is not None}  # as netCDF asks
    return xr.Dataset(data, {**along, "seed": np.arange(seeds)}, attrs | known | found)


def name_of(activation: Activation) -> str:
    """Return the name of an activation."""
    return activation if isinstance(activation, str) else activation.__name__
