"""How large the gradient is in each layer: in which of them it is gone first."""

import math

import equinox as eqx
import numpy as np
from jaxtyping import Float

from ._gradient_rate import GONE


class LayerGradients(eqx.Module):
    """The gradient of one step with respect to the states of each layer, against the lag.

    - `names`: the layers of a stack ("layer0", ...), or the parts of a network.
    - `log_norm`: natural log of ||dL/ds||, s being the layer's whole state `lag` steps away from
      the step that the loss reads; shape (layer, batch, lag); NaN where there is no state.
    - `gone_at`: for each layer the first lag at which its gradient is below 1e-3 of its largest,
      in the median sequence; inf if it never is, NaN for a layer that gets none beyond lag 0: a
      backward layer has no states that an output further on could depend on.
    - `toward`: "past" if the lag counts back in time, "future" if it counts ahead.
    """

    names: tuple[str, ...]
    log_norm: Float[np.ndarray, "layer batch lag"]
    gone_at: Float[np.ndarray, "layer"]
    toward: str

    def first_gone(self) -> str | None:
        """Return the layer whose gradient is gone at the smallest lag; None if none is."""
        if not np.any(np.isfinite(self.gone_at)):
            return None
        return self.names[int(np.nanargmin(self.gone_at))]

    def sentence(self) -> str:
        """Return in which layer the gradient is gone first, in words."""
        reach = self.log_norm.shape[2] - 1
        order = np.argsort(self.gone_at, kind="stable")
        gone = [i for i in order if math.isfinite(self.gone_at[i])]
        if not gone:
            return f"no layer's gradient falls below 1e-3 of its largest within {reach} steps"
        others = [f"{self.names[i]} after {self.gone_at[i]:.0f}" for i in gone[1:]]
        never = [self.names[i] for i in order if np.isposinf(self.gone_at[i])]
        others += [f"{', '.join(never)} not within {reach}"] if never else []
        first = gone[0]
        text = f"{self.names[first]} first, below 1e-3 of its largest gradient after "
        text += _steps(self.gone_at[first])
        return f"{text} ({'; '.join(others)})" if others else text

    def __repr__(self) -> str:
        return f"LayerGradients({self.toward}: {self.sentence()})"


def layer_gradients(
    names: tuple[str, ...], log_norm: Float[np.ndarray, "layer batch lag"], toward: str
) -> LayerGradients:
    """Return the gradients with the lags at which they are gone."""
    return LayerGradients(names, log_norm, np.array([_gone_at(g) for g in log_norm]), toward)


def _gone_at(log_norm):
    """Return the median sequence's first lag, from its largest gradient on, that is below 1e-3."""
    rows = log_norm[np.isfinite(log_norm[:, 1:]).any(axis=1)]
    if len(rows) == 0:
        return math.nan
    largest = np.nanmax(rows, axis=1, keepdims=True)
    after = np.arange(rows.shape[1]) >= np.nanargmax(rows, axis=1)[:, None]
    gone = after & (rows - largest <= math.log(GONE))  # False for NaN
    first = np.where(gone.any(axis=1), gone.argmax(axis=1), np.inf)
    return float(np.quantile(first, 0.5, method="higher"))


def _steps(lag):
    return "1 step" if lag == 1 else f"{lag:.0f} steps"
