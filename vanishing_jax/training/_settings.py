"""What a training was asked for, checked once for all that train."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp

_TARGET = re.compile(r"\s*(loss|metric)\s*([<>])\s*(\S+)\s*")


class Goal(NamedTuple):
    """A bound that a recorded curve is to cross."""

    curve: str
    below: bool
    bound: float

    def reached(self, loss: float, metric: float) -> bool:
        """Return whether a record is beyond the bound; never for NaN."""
        value = loss if self.curve == "loss" else metric
        return value < self.bound if self.below else value > self.bound

    def __str__(self) -> str:
        """Return the goal as `parse_target` reads it."""
        return f"{self.curve} {'<' if self.below else '>'} {self.bound!r}"


class Chunk(NamedTuple):
    """What a chunk of updates is compiled for; `length` is the number of updates in it."""

    batch_size: int
    length: int
    record: tuple[str, ...] = ()
    checkpoint: bool = False


class Settings(NamedTuple):
    """What is asked of a training beside model, task and optimizer."""

    num_updates: int
    chunk: Chunk
    goal: Goal | None = None

    def described(self) -> dict[str, Any]:
        """Return what decides the numbers of a run, as JSON."""
        return {
            "steps": self.num_updates,
            "batch_size": self.chunk.batch_size,
            "record_every": self.chunk.length,
            "record": list(self.chunk.record),
            "target": self.goal and str(self.goal),
            "checkpoint": self.chunk.checkpoint,
            "precision": str(jnp.result_type(float)),
        }


def read_settings(
    num_updates: int | None,
    steps: int | None,
    batch_size: int,
    record_every: int,
    record: Sequence[str],
    target: str | float | None,
    checkpoint: bool,
) -> Settings:
    """Return the settings that these keywords of `train` and `compare` mean, once checked."""
    if (num_updates is None) == (steps is None):
        raise TypeError(
            "expected `num_updates`, the number of optimizer updates, or `steps`, its other name; "
            f"got {'neither' if steps is None else 'both'}."
        )
    check_counts(
        num_updates=num_updates, steps=steps, batch_size=batch_size, record_every=record_every
    )
    names = (record,) if isinstance(record, str) else tuple(record)
    chunk = Chunk(batch_size, record_every, names, checkpoint)
    return Settings(num_updates or steps or 0, chunk, parse_target(target))


def check_counts(**counts: int | None) -> None:
    """Raise `ValueError` for the first count below 1, by the name of its keyword."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"expected `{name}` of at least 1; got {count}.")


def check_saving(folder: str | Path | None, every: int | None) -> None:
    """Raise unless `save_every` is a count that has a folder to go with."""
    check_counts(save_every=every)
    if every is not None and folder is None:
        raise TypeError("`save_every` goes with a folder to save to; there is none.")


def parse_target(target: str | float | None) -> Goal | None:
    """Return the goal that "loss < 0.01" or "metric > 0.9" spells; a number bounds the loss."""
    if target is None:
        return None
    if isinstance(target, int | float) and not isinstance(target, bool):
        return Goal("loss", True, float(target))
    if not isinstance(target, str):
        raise TypeError(
            f"expected `target` as 'loss < 0.01', 'metric > 0.9' or a number for the loss; got "
            f"{type(target).__name__}."
        )
    found = _TARGET.fullmatch(target)
    try:
        if found is None:
            raise ValueError
        return Goal(found[1], found[2] == "<", float(found[3]))
    except ValueError:
        raise ValueError(
            f"expected `target` as 'loss < 0.01' or 'metric > 0.9'; got {target!r}."
        ) from None
