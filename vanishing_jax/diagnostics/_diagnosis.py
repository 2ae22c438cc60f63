"""The result of `diagnose`: what it holds, how it prints, how it is saved."""

import dataclasses
import json
import math
import os
import pathlib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float, Int

from ..spectra import LyapunovExponents, Spectrum
from ._activation_history import ActivationHistory
from ._eigenvalues import StepEigenvalues
from ._gradient_profile import GradientProfile
from ._influence import InfluenceMap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Verdict = Literal["healthy", "vanishing", "exploding", "inconclusive"]


@dataclasses.dataclass(frozen=True)
class Effect:
    """What one intervention does to the gradient, re-measured on the same sequences.

    - `name`, `description`: the change; `kind`: "remedy" (can be built) or "cause" (thought experiment).
    - `blames`: the cause it removes, in words, or None.
    - `rate`, `rate_error`: nats per step with its 95 % half width; `horizon`: steps until the gradient is below
      1e-3 of its start, `horizon_is_extrapolated` if beyond the sequences.
    """

    name: str
    description: str
    kind: str
    blames: str | None
    rate: float
    rate_error: float
    horizon: float
    horizon_is_extrapolated: bool


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Whether gradients vanish or explode in one network on one batch, and why.

    All logs are natural; rates are nats per step. Made by `diagnose`.

    - `verdict`, `reason`: the answer and one sentence of why.
    - `rate` ± `rate_error`: average growth of the gradient carried back from the last step taught;
      `horizon`: steps until it falls below 1e-3 of its start (inf: never), `horizon_is_extrapolated` if
      that lies beyond the sequences.
    - `num_steps` T, `num_sequences`, `state_size` n, `gradient_source`: what was carried back.
    - `lags` (time+1,), `log_transport` (batch, time+1): log of that gradient relative to its start.
    - `profile`: batch mean of the `GradientProfile` of the loss, or None without a loss.
    - `spectrum`, `lyapunov`, `influence`, `eigenvalues`: of the first sequence.
    - `surviving_directions`: lag -> number of singular values above 1e-3; `log10_condition`: lag ->
      log10 of the condition number.
    - `activations`: saturation and gates over the batch.
    - `causes`: effects that remove a cause and bring the rate closer to 0, the strongest first.
    - `recommendations`: remedies that help, the longest re-measured horizon first.
    - `effects`: everything that was measured; `skipped`: intervention -> why it does not apply.
    """

    verdict: Verdict
    reason: str
    rate: float
    rate_error: float
    horizon: float
    horizon_is_extrapolated: bool
    num_steps: int
    num_sequences: int
    state_size: int
    gradient_source: str
    lags: Int[np.ndarray, "time+1"]
    log_transport: Float[np.ndarray, "batch time+1"]
    profile: GradientProfile | None
    spectrum: Spectrum
    lyapunov: LyapunovExponents
    influence: InfluenceMap
    eigenvalues: StepEigenvalues
    activations: ActivationHistory
    surviving_directions: dict[int, float]
    log10_condition: dict[int, float]
    causes: list[Effect]
    recommendations: list[Effect]
    effects: list[Effect]
    skipped: dict[str, str]

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def __repr__(self) -> str:
        return f"Diagnosis({self.verdict}: {self.reason})"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; NaN and infinities become strings."""
        plain = {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return plain

    def plot(self) -> "Figure":
        """Return the 2 x 2 summary figure (`vanishing_jax.plots.plot_diagnosis`)."""
        from ..plots import plot_diagnosis

        return plot_diagnosis(self)

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Write `diagnosis.json`, `report.html` and the figures as PNG into `folder`; return it.

        Each file is written beside its place and then moved there, so a failure leaves earlier
        results whole.
        """
        from ..report import save_figures, write_report

        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "diagnosis.json", json.dumps(self.to_dict(), indent=1))
        save_figures(folder, self)
        write_report(folder / "report.html", self, title="Gradient diagnosis")
        return folder


def write_text(path: pathlib.Path, text: str) -> None:
    """Write `text` to `path` by way of a temporary file in the same folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def horizon_text(horizon: float, extrapolated: bool, num_steps: int) -> str:
    """Return a horizon in words: `14 steps`, `about 210 steps (beyond the data)`, `never`."""
    if math.isinf(horizon):
        return f"none within {num_steps} steps"
    if extrapolated:
        return f"about {horizon:.0f} steps (extrapolated beyond {num_steps})"
    return f"{horizon:.0f} steps"


def rate_text(rate: float, error: float) -> str:
    """Return a rate with its interval: `-0.490 ± 0.035`."""
    if math.isinf(rate):
        return "exactly 0 gradient" if rate < 0 else "infinite"
    return f"{rate:+.3f} ± {error:.3f}" if math.isfinite(error) else f"{rate:+.3f} (no interval)"


def _lines(d: Diagnosis):
    yield f"{d.verdict.upper()}: {d.reason}"
    yield (
        f"  data         {d.num_sequences} sequences of {d.num_steps} steps, state of {d.state_size}; "
        f"{d.gradient_source} carried back from the last step taught"
    )
    yield f"  rate         {rate_text(d.rate, d.rate_error)} nats/step (95 % interval over the batch)"
    horizon = horizon_text(d.horizon, d.horizon_is_extrapolated, d.num_steps)
    yield f"  horizon      {horizon} until the gradient is below 1e-3 of its start"
    yield (
        f"  exponents    top {d.lyapunov.exponents[0]:+.3f} ± {d.lyapunov.standard_error[0]:.3f}, last "
        f"{d.lyapunov.exponents[-1]:+.3f} nats/step (first sequence)"
    )
    for lag, count in d.surviving_directions.items():
        yield (
            f"  lag {lag:<8} {count:.0f} of {d.state_size} directions keep more than 1e-3; condition "
            f"1e{d.log10_condition[lag]:.0f}"
            if math.isfinite(d.log10_condition[lag])
            else f"  lag {lag:<8} {count:.0f} of {d.state_size} directions keep more than 1e-3; singular"
        )
    for name, gate, mean, saturated in zip(
        d.activations.names,
        d.activations.is_gate,
        d.activations.mean,
        d.activations.saturated,
        strict=True,
    ):
        label = f"{'gate' if gate else 'units':<12}"
        yield f"  {label} {name}: mean {np.mean(mean):.2f}, {np.mean(saturated):.0%} saturated"
    yield from _effect_lines("causes", d.causes, d, "none found by intervention")
    yield from _effect_lines("try", d.recommendations, d, "nothing measured here helps")


def _effect_lines(label, effects, d, nothing):
    if not effects and d.verdict in ("vanishing", "exploding"):
        yield f"  {label:<12} {nothing}"
    for index, effect in enumerate(effects[:5]):
        head = label if index == 0 else ""
        horizon = horizon_text(effect.horizon, effect.horizon_is_extrapolated, d.num_steps)
        rate = rate_text(effect.rate, effect.rate_error)
        if label == "causes":
            yield f"  {head:<12} {effect.blames}: {effect.name} gives {rate}"
        else:
            yield f"  {head:<12} {effect.name}: rate {rate}, horizon {horizon}"


def _plain(value):
    if isinstance(value, bool | str | int) or value is None:
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    array = np.asarray(value)
    if np.iscomplexobj(array):
        return {"real": _plain(array.real), "imag": _plain(array.imag)}
    return _plain(array.tolist())
