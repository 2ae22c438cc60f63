"""What theory says about one network on its inputs, and how far to trust it."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from ..random_matrices._weight_law import WeightLaw


@dataclasses.dataclass(frozen=True)
class Assumption:
    """Something that a theory takes for granted, tested on this network and these inputs.

    - `name`: what is assumed; `holds`: whether a test found nothing against it; `detail`: what the
      test found.
    """

    name: str
    holds: bool
    detail: str


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """What theory predicts for gradients in one network; made by `predict`, printable.

    - `theory`: which one; None where there is none, and `reason` says why.
    - `top_exponent`: nats per step for infinitely many units; NaN without a theory.
    - `exponents`: all n of them, descending, or None where they are not known.
    - `horizon`: steps until a gradient is below 1e-3 by the top exponent; inf if it never is.
    - `expected_rate`, `standard_deviation`: mean and scatter of the measured rate of networks of
      this size on these inputs, from `num_draws` other draws of W; NaN where none were made.
    - `num_units`, `num_steps`: n and T that they belong to.
    - `weights`: the `WeightLaw` found; None for cells whose weights were not looked at.
    - `assumptions`: each with what a test of it found.
    """

    theory: str | None
    reason: str = ""
    top_exponent: float = math.nan
    exponents: Float[np.ndarray, " state"] | None = None
    horizon: float = math.nan
    expected_rate: float = math.nan
    standard_deviation: float = math.nan
    num_draws: int = 0
    num_units: int = 0
    num_steps: int = 0
    weights: WeightLaw | None = None
    assumptions: tuple[Assumption, ...] = ()

    @property
    def failed(self) -> tuple[Assumption, ...]:
        """The assumptions that a test speaks against."""
        return tuple(a for a in self.assumptions if not a.holds)

    @property
    def best_rate(self) -> float:
        """The rate to expect: at this size where that is known, else the top exponent."""
        return self.top_exponent if math.isnan(self.expected_rate) else self.expected_rate

    def z_score(self, rate: float) -> float:
        """Return how many standard deviations a measured rate is off; NaN without a band.

        **Arguments:**

        - `rate`: nats per step, as `Diagnosis.rate`.

        **Returns:** (rate - expected_rate) / standard_deviation. Beyond 3 or 4 in modulus the
        network is not what the theory takes it for, though no test of its weights showed it.
        """
        if not self.standard_deviation > 0:
            return math.nan
        return (rate - self.expected_rate) / self.standard_deviation

    def __str__(self) -> str:
        """Return the prediction in a few labeled lines."""
        rows = [("theory", self.theory or f"none: {self.reason}")]
        if self.theory is not None:
            rows.append(("exponent", f"{self.top_exponent:+.4f} nats/step as n grows"))
            rows.append(("horizon", _steps(self.horizon)))
        if self.num_draws:
            size = f"n = {self.num_units} and T = {self.num_steps}, {self.num_draws} draws of W"
            rows.append(
                ("here", f"{self.expected_rate:+.4f} ± {self.standard_deviation:.4f} at {size}")
            )
        for a in self.assumptions:
            rows.append(("holds" if a.holds else "FAILS", f"{a.name}: {a.detail}"))
        return "\n".join(f"{label:<9} {text}" for label, text in rows)


def _steps(horizon: float) -> str:
    if math.isinf(horizon):
        return "none: gradients do not vanish"
    return f"{horizon:.0f} steps until a gradient is below 1e-3 of its start"
