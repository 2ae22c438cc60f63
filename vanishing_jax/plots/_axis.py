"""What a step of a result is called: a time step of a recurrence, or a layer of a network."""

from typing import Any, NamedTuple


class Words(NamedTuple):
    """The words on the axes: `plain`, of one step and of several; letters for state and step."""

    unit: str
    units: str
    state: str
    index: str
    axis: str  # the label of an axis that counts them
    through: str


_WORDS = {
    "time": Words("step", "steps", "s", "t", "time $t$ (steps)", "back through time"),
    "layer": Words("layer", "layers", "x", "l", "layer $l$ (0: input)", "back through the layers"),
}


def words_of(result: Any) -> Words:
    """Return the words for a result; one that does not say what its steps are is of time."""
    return _WORDS[getattr(result, "axis", "time")]


def words_of_all(results: Any) -> Words:
    """Return the words for several results; those of time unless all are of layers."""
    axes = {getattr(one, "axis", "time") for one in results if one is not None}
    return _WORDS["layer" if axes == {"layer"} else "time"]
