"""The optimizers of recipes: Optax's, taken apart at the learning rate, with numbers as data."""

from collections.abc import Callable
from typing import NamedTuple

import optax

from ...mitigations import Mitigation
from ...mitigations._transformation import chained, transformation


class Optimizer(NamedTuple):
    """How a gradient becomes a direction, and the learning rate it is multiplied by by default."""

    description: str
    learning_rate: float
    direction: Callable[[], optax.GradientTransformation] | None


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer("stochastic gradient descent", 1e-2, None),
    "momentum": Optimizer(
        "gradient descent with momentum 0.9", 1e-2, lambda: transformation(optax.trace, decay=0.9)
    ),
    "rmsprop": Optimizer(
        "RMSProp, decay 0.9", 1e-3, lambda: transformation(optax.scale_by_rms, decay=0.9)
    ),
    "adam": Optimizer("Adam", 1e-3, lambda: transformation(optax.scale_by_adam)),
    "adamw": Optimizer("AdamW", 1e-3, lambda: transformation(optax.scale_by_adam)),
}


def make_optimizer(
    name: str, mitigation: Mitigation, learning_rate: float
) -> optax.GradientTransformation:
    """Return gradient transform, direction, update transform and learning rate, in this order."""
    direction = OPTIMIZERS[name].direction
    stages = [
        mitigation.gradient_transform,
        None if direction is None else direction(),
        mitigation.update_transform,
        transformation(optax.scale_by_learning_rate, learning_rate=learning_rate),
    ]
    return chained([stage for stage in stages if stage is not None])
