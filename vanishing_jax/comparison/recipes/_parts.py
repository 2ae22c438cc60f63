"""What a recipe is made of. To add a part, add a row to `PARTS`."""

from collections.abc import Callable
from typing import NamedTuple

from ... import mitigations
from ...mitigations import Mitigation
from ._bases import BASES, DENSE, GATED, PLAIN
from ._optimizers import OPTIMIZERS

KINDS = (
    "cell",
    "normalization",
    "layers",
    "recurrent initialization",
    "gate bias",
    "skip connection",
    "initial state noise",
    "state-gradient clipping",
    "truncation",
    "gradient clipping",
    "penalty",
    "projection",
    "recurrent learning rate",
    "weight decay",
    "optimizer",
    "learning rate",
)
"""What parts choose, each at most once; mitigations apply in this order, whatever the spelling."""


class Part(NamedTuple):
    """One word of a recipe.

    - `kind`: what it chooses, out of `KINDS`.
    - `description`: for people; `{}` is the number.
    - `number`: the default of the number that may follow as `part=number`; None if it takes none,
      `TASK_LENGTH` for the task's number of time steps, `REQUIRED` if there is no default.
    - `mitigation`: makes the mitigation out of the number; None for other kinds.
    - `bases`: the cells it goes with; None for any.
    - `also`: another kind that it chooses at the same time.
    """

    kind: str
    description: str
    number: "float | str | None" = None
    mitigation: Callable[..., Mitigation] | None = None
    bases: tuple[str, ...] | None = None
    also: str | None = None


TASK_LENGTH, REQUIRED = "the task's length", "required"


def _truncate(steps: float) -> Mitigation:
    if steps != int(steps):
        raise ValueError(f"expected a whole number of steps; got {steps:g}.")
    return mitigations.truncate(int(steps))


_INITIAL, _NORM = "recurrent initialization", "normalization"

PARTS: dict[str, Part] = {
    **{
        name: Part("cell", base.description, also=base.initialization and _INITIAL)
        for name, base in BASES.items()
    },
    "layernorm": Part(_NORM, "layer normalization of Wh + Ux", bases=DENSE),
    "layernorm-separate": Part(_NORM, "layer normalization of Wh and of Ux", bases=DENSE),
    "layernorm-input": Part(_NORM, "layer normalization of Ux", bases=DENSE),
    "batchnorm": Part(
        _NORM, "batch normalization of Wh and of Ux per time step, gain 0.1", bases=DENSE
    ),
    "batchnorm-input": Part(
        _NORM, "batch normalization of Ux per time step, gain 0.1", bases=DENSE
    ),
    "layers": Part("layers", "{} of the cell, each on the hidden output of the one below", 2.0),
    "skip-layers": Part("layers", "{} of the cell with skip connections across them", 2.0),
    "glorot": Part(_INITIAL, "Glorot normal", None, mitigations.glorot, DENSE),
    "he": Part(_INITIAL, "He normal", None, mitigations.he, DENSE),
    "orthogonal": Part(_INITIAL, "orthogonal, gain {}", 1.0, mitigations.orthogonal, DENSE),
    "identity": Part(_INITIAL, "{} times the identity", 1.0, mitigations.identity, DENSE),
    "critical": Part(
        _INITIAL, "normal, of the critical gain for inputs of variance {}", 1.0,
        mitigations.critical, PLAIN,
    ),
    "small": Part(_INITIAL, "normal, standard deviation {}", 0.01, mitigations.normal, DENSE),
    "large": Part(_INITIAL, "normal, standard deviation {}", 1.0, mitigations.normal, DENSE),
    "chrono": Part("gate bias", "chrono, up to {} steps", TASK_LENGTH, mitigations.chrono, GATED),
    "forget-bias": Part(
        "gate bias", "{} for the gate that keeps", 1.0, mitigations.forget_bias, GATED
    ),
    "residual": Part("skip connection", "h + {} f(h, x)", 1.0, mitigations.residual, PLAIN),
    "leaky": Part("skip connection", "leaky units, rate {}", 0.1, mitigations.leaky, PLAIN),
    "state-noise": Part(
        "initial state noise", "{} on h_0 in training", 0.1, mitigations.initial_state_noise
    ),
    "clip-state": Part(
        "state-gradient clipping", "by norm at {} in every step", 0.01,
        mitigations.clip_state_gradient,
    ),
    "tbptt": Part("truncation", "blocks of {} steps", 20.0, _truncate),
    "clip": Part("gradient clipping", "at global norm {}", 1.0, mitigations.clip_by_global_norm),
    "clip-value": Part("gradient clipping", "components at {}", 1.0, mitigations.clip_by_value),
    "soft-orthogonal": Part(
        "penalty", "soft orthogonality, strength {}", 0.01, mitigations.soft_orthogonality, DENSE
    ),
    "band": Part(
        "projection", "singular values within {} of 1", 0.0, mitigations.singular_value_band, DENSE
    ),
    "slow-recurrent": Part(
        "recurrent learning rate", "{} times the others'", 0.1,
        mitigations.recurrent_learning_rate, DENSE,
    ),
    "decay": Part("weight decay", "{}, decoupled, matrices only", 0.01, mitigations.weight_decay),
    **{
        name: Part("optimizer", optimizer.description)
        for name, optimizer in OPTIMIZERS.items()
        if name != "adamw"
    },
    "adamw": Part(
        "optimizer", OPTIMIZERS["adamw"].description + ", weight decay {} of matrices", 0.01,
        mitigations.weight_decay, also="weight decay",
    ),
    "lr": Part("learning rate", "{}", REQUIRED),
}  # fmt: skip


def parts() -> dict[str, str]:
    """Return what a recipe can be made of: each part's name with what it does.

    **Returns:** descriptions by name, cells first. A number shown as a default is changed by
    `name=number`.

    **Example:**

    >>> import vanishing_jax as vj
    >>> vj.recipes.parts()["clip"]
    'gradient clipping: at global norm 1'
    """
    return {name: f"{part.kind}: {described(part, part.number)}" for name, part in PARTS.items()}


def described(part: Part, number: "float | str | None") -> str:
    """Return the part's description with its number."""
    return part.description.format(f"{number:g}" if isinstance(number, float) else number)
