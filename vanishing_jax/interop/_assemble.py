"""From the recurrent layers found among tensors to one cell or network."""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from ..cells import AbstractCell, BidirectionalCell, StackedCell
from ..networks import RecurrentNetwork
from ._canonical import GATES, Layer, to_cell
from ._tensors import Group, Prefix, Tensors, check_nothing_is_left, normalized

Loaded: TypeAlias = AbstractCell | RecurrentNetwork


def assemble(
    tensors: Tensors,
    found: dict[str, Group],
    to_layer: Callable[[Group], Layer],
    *,
    cell: str | None,
    prefix: Prefix,
    examples: str,
) -> Loaded:
    """Return the one layer of `found`, or the stack of those that `prefix` lists."""
    if cell is not None and cell not in GATES:
        raise ValueError(f"cell must be one of {', '.join(map(repr, GATES))}; got {cell!r}.")
    if not found:
        raise ValueError(
            f"there is no recurrent layer ({examples}) in {tensors.source}, but "
            f"{sorted(tensors.arrays)}."
        )
    directions = _paired(found)
    layers = []
    for key in check_choice(directions, prefix, tensors.source):
        layers.append([])
        for place in directions[key]:
            check_nothing_is_left(tensors, place, found[place])
            layers[-1].append(_cell(tensors, place, found[place], to_layer, cell))
    return to_network(layers, tensors.source)


def _cell(
    tensors: Tensors, place: str, group: Group, to_layer: Callable, cell: str | None
) -> AbstractCell:
    try:
        layer = to_layer(group)
        if cell not in (None, layer.kind):
            raise ValueError(f"it is of the kind {layer.kind!r}, not {cell!r}")
        return to_cell(layer)
    except ValueError as error:
        raise ValueError(f"the layer {place!r} of {tensors.source}: {error}") from error


def _paired(found: dict[str, Group]) -> dict[str, tuple[str, ...]]:
    """Return prefix -> the directions, by the names "forward_*" and "backward_*"."""
    pairs: dict[str, tuple[str, ...]] = {}
    backward = set()
    for place in found:
        other = re.sub(r"(^|/)forward_", r"\1backward_", place, count=1)
        is_pair = other != place and other in found
        pairs[place] = (place, other) if is_pair else (place,)
        backward |= {other} if is_pair else set()
    return {place: pair for place, pair in pairs.items() if place not in backward}


def check_choice(
    directions: dict[str, tuple[str, ...]], prefix: Prefix, source: str, keyword: str = "prefix"
) -> list[str]:
    """Return the keys of the layers that `prefix` names, or of the only one there is."""
    names = sorted(directions)
    if prefix is None:
        if len(names) > 1:
            raise ValueError(
                f"there are several recurrent layers in {source}: choose {keyword}= from {names}, "
                "or list those that are on top of one another, the lowest first."
            )
        return names
    wanted = [prefix] if isinstance(prefix, str) else list(prefix)
    chosen = []
    for given in wanted:
        # A name from a nested dictionary or one as this package writes it.
        name = given if given in names else normalized(given)
        fits = [key for key in names if name in directions[key]]
        fits = fits or [key for key in names if key.startswith(f"{name}/")]
        if len(fits) != 1:
            problem = "more than one layer" if fits else "no layer"
            raise ValueError(
                f"there is {problem} {name!r} in {source}: choose {keyword}= from {fits or names}."
            )
        chosen += fits
    if not chosen:
        raise ValueError(f"{keyword} must name at least one layer: choose from {names}; got [].")
    return chosen


def to_network(layers: list[list[Any]], source: str) -> Loaded:
    """Return the cell of layers on top of one another; the network if one reads both ways."""
    units = None
    for index, directions in enumerate(layers):
        for cell in directions:
            if units not in (None, cell.input_size):
                raise ValueError(
                    f"layer {index} of {source} takes {cell.input_size} inputs; layer {index - 1} "
                    f"has {units} outputs."
                )
        units = sum(cell.hidden_size for cell in directions)
    if any(len(directions) == 2 for directions in layers):
        return RecurrentNetwork([_both(*directions) for directions in layers])
    cells = [directions[0] for directions in layers]
    return cells[0] if len(cells) == 1 else StackedCell(cells)


def _both(forward: Any, backward: Any = None) -> AbstractCell:
    return forward if backward is None else BidirectionalCell(forward, backward)
