"""From the recurrent layers found among tensors to one cell or network."""

import functools as ft
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..cells import AbstractCell, BidirectionalCell, StackedCell
from ..networks import RecurrentNetwork
from ._canonical import GATES, Layer, to_cell
from ._tensors import Group, Prefix, Tensors, check_nothing_is_left, normalized

Loaded: TypeAlias = AbstractCell | RecurrentNetwork
Reader: TypeAlias = Callable[[], list[list[Layer]]]
"""Returns layers on top of one another, the lowest first, each in one direction or in two."""


def assemble(
    tensors: Tensors,
    found: Mapping[str, Reader],
    *,
    cell: str | None,
    prefix: Prefix,
    examples: str,
) -> Loaded:
    """Return the network read at the one place of `found`, or the stack of those in `prefix`."""
    if cell is not None and cell not in GATES:
        raise ValueError(f"cell must be one of {', '.join(map(repr, GATES))}; got {cell!r}.")
    if not found:
        raise ValueError(
            f"there is no recurrent layer ({examples}) in {tensors.source}, but "
            f"{sorted(tensors.arrays)}."
        )
    layers = []
    for place in _chosen(sorted(found), prefix, tensors.source):
        try:
            for directions in found[place]():
                layers.append([_cell(layer, cell) for layer in directions])
        except ValueError as error:
            raise ValueError(f"the layer {place!r} of {tensors.source}: {error}") from error
    return _network(layers, tensors.source)


def single_layers(
    tensors: Tensors, found: Mapping[str, Group], to_layer: Callable[[Group], Layer]
) -> dict[str, Reader]:
    """Return a reader of each group as one layer, of "forward_*" and "backward_*" as of both."""

    def read(*places: str) -> list[list[Layer]]:
        for place in places:
            check_nothing_is_left(tensors, place, found[place])
        return [[to_layer(found[place]) for place in places]]

    backward = {
        place: re.sub(r"(^|/)forward_", r"\1backward_", place, count=1)
        for place in found
        if re.search(r"(^|/)forward_", place)
    }
    pairs = {place: (place, other) for place, other in backward.items() if other in found}
    second = {other for _, other in pairs.values()}
    return {
        place: ft.partial(read, *pairs.get(place, (place,)))
        for place in found
        if place not in second
    }


def _cell(layer: Layer, kind: str | None) -> Any:
    if kind not in (None, layer.kind):
        raise ValueError(f"it is of the kind {layer.kind!r}, not {kind!r}")
    return to_cell(layer)


def _chosen(names: list[str], prefix: Prefix, source: str) -> list[str]:
    """Return the places that `prefix` names, or the only one there is."""
    if prefix is None:
        if len(names) > 1:
            raise ValueError(
                f"there are several recurrent layers in {source}: choose prefix= from {names}, "
                "or list those that are on top of one another, the lowest first."
            )
        return names
    wanted = [prefix] if isinstance(prefix, str) else list(prefix)
    chosen = []
    for given in wanted:
        # A name from a nested dictionary or one as this package writes it.
        name = given if given in names else normalized(given)
        fits = [key for key in names if key == name]
        fits = fits or [key for key in names if key.startswith(f"{name}/")]
        if len(fits) != 1:
            problem = "more than one layer" if fits else "no layer"
            raise ValueError(
                f"there is {problem} {name!r} in {source}: choose prefix= from {fits or names}."
            )
        chosen += fits
    if not chosen:
        raise ValueError(f"prefix must name at least one layer: choose from {names}; got [].")
    return chosen


def _network(layers: list[list[Any]], source: str) -> Loaded:
    """Return the cell of layers on top of one another; the network if one reads both ways."""
    units = None
    for index, directions in enumerate(layers):
        for cell in directions:
            if units not in (None, cell.input_size):
                raise ValueError(
                    f"layer {index} of {source} takes {cell.input_size} inputs; layer {index - 1} "
                    f"has {units} outputs."
                )
        units = sum(getattr(cell, "projection_size", cell.hidden_size) for cell in directions)
    if all(len(directions) == 1 for directions in layers):
        cells = [directions[0] for directions in layers]
        return cells[0] if len(cells) == 1 else StackedCell(cells)
    return RecurrentNetwork(
        [BidirectionalCell(*both) if len(both) == 2 else both[0] for both in layers]
    )
