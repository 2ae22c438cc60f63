"""The recipe: what is trained, and how, under one name."""

from typing import Any, NamedTuple

import jax.random as jr
import optax

from ..._types import Key
from ...cells import AbstractCell
from ...mitigations import Mitigation, chain
from ...tasks import AbstractTask
from ...training import SequenceModel
from ._bases import BASES, DIAGONAL, GATED, make_layers
from ._optimizers import OPTIMIZERS, make_optimizer
from ._parts import KINDS, PARTS, TASK_LENGTH, described


class Recipe(NamedTuple):
    """A cell with mitigations and an optimizer, under a name that says all of it.

    Made by `vj.recipes.parse`. It prints what it consists of.

    - `name`: the parts, cell first and the others in a fixed order, for instance
      "tanh+orthogonal+clip=5"; equal recipes have equal names.
    - `parts`: (part, number or None) in the same order.
    """

    name: str
    parts: tuple[tuple[str, Any], ...]

    def part(self, kind: str) -> str | None:
        """Return the name of the part that chooses `kind`, or None if none does."""
        return next((name for name, _ in self.parts if PARTS[name].kind == kind), None)

    @property
    def learning_rate(self) -> float:
        """The learning rate: that of `lr=...`, or the optimizer's default."""
        chosen = dict(self.parts).get("lr")
        return OPTIMIZERS[self.optimizer_name].learning_rate if chosen is None else chosen

    @property
    def optimizer_name(self) -> str:
        """The optimizer's name, "adam" unless a part says otherwise."""
        return self.part("optimizer") or "adam"

    def mitigation(self, task: AbstractTask) -> Mitigation:
        """Return all mitigations of the recipe as one.

        `build` has applied its `transform_cell`, `gradient_transform` and `update_transform`; a
        training loop calls its `initial_state` for each sequence, adds its `penalty` to the loss
        and calls its `project` after each update.
        """
        return self._mitigation(task.length)

    def _mitigation(self, length: int) -> Mitigation:
        implied = BASES[self.parts[0][0]].initialization
        chosen = [(implied, PARTS[implied].number)] if implied else []
        made = []
        for name, number in [*chosen, *self.parts]:
            make = PARTS[name].mitigation
            if make is not None:
                number = float(length) if number == TASK_LENGTH else number
                made.append(make() if number is None else make(number))
        return chain(*made)

    def cell(self, input_size: int, hidden_size: int, *, length: int, key: Key) -> AbstractCell:
        """Return the cell of the recipe as it is initialized, that of `build` with the same key.

        **Arguments:**

        - `input_size`, `hidden_size`: its sizes.
        - `length`: time steps, for what depends on it: "chrono", batch normalization.
        - `key`: for the initial weights.

        **Returns:** a cell; one layer of a stack, if the recipe has "layers", is a part of it.

        **Raises:** `ValueError` for numbers that a part does not take.
        """
        key_cell, key_mitigation, _ = jr.split(key, 3)
        base, normalization = self.parts[0][0], self.part("normalization")
        layers = next((part for part in self.parts if PARTS[part[0]].kind == "layers"), None)
        sizes = input_size, hidden_size
        cell = make_layers(base, normalization, layers, sizes, length, key=key_cell)
        transform = self._mitigation(length).transform_cell
        return cell if transform is None else transform(cell, key=key_mitigation)

    def build(
        self,
        task: AbstractTask,
        hidden_size: int,
        *,
        learning_rate: float | None = None,
        key: Key,
    ) -> tuple[SequenceModel, optax.GradientTransformation]:
        """Return a model for `task` and the optimizer to train it with.

        **Arguments:**

        - `task`: whose input, output and length the model fits.
        - `hidden_size`: units of the cell.
        - `learning_rate`: in place of the recipe's.
        - `key`: for the initial weights; the optimizer does not depend on it.

        **Returns:** a `SequenceModel` and an Optax transformation. The numbers in the latter
        (learning rate, clipping threshold, ...) are leaves of it as a pytree: other values compile
        nothing anew where it is an argument, as in `train`. A model with batch normalization
        evaluates by population statistics; a training loop runs `cells.use_batch_statistics(model)`
        and updates them.

        **Raises:** `ValueError` for numbers that a part does not take.
        """
        cell = self.cell(task.input_size, hidden_size, length=task.length, key=key)
        _, _, key_readout = jr.split(key, 3)
        model = SequenceModel(cell, task.output_size, every_step=task.every_step, key=key_readout)
        rate = self.learning_rate if learning_rate is None else learning_rate
        return model, make_optimizer(self.optimizer_name, self.mitigation(task), rate)

    def __str__(self) -> str:
        """Return what the recipe chooses, one line each."""
        chosen = {PARTS[name].kind: described(PARTS[name], x) for name, x in self.parts}
        implied = BASES[self.parts[0][0]].initialization
        base = self.parts[0][0]
        default = "orthogonal" if base in GATED else "Glorot normal"
        default = "the cell's own" if base in DIAGONAL else default
        chosen.setdefault(
            "recurrent initialization",
            described(PARTS[implied], PARTS[implied].number) if implied else default,
        )
        chosen.setdefault("gradient clipping", "none")
        chosen.setdefault("optimizer", OPTIMIZERS[self.optimizer_name].description)
        chosen["learning rate"] = f"{self.learning_rate:g}"
        lines = [f"  {kind + ':':26}{chosen[kind]}" for kind in KINDS if kind in chosen]
        return "\n".join([self.name, *lines])
