"""The section of docs/guides/theory.md on phase diagrams, and its figures, from the JSON."""

import numpy as np
import xarray as xr
from _pages import table_of
from matplotlib.figure import Figure

from vanishing_jax import plots

NOISES = ("weak noise", "strong noise")
_DPI = 110


def draw(result, folder) -> None:
    """Draw the phase diagram, and the maps of trainability."""
    figure = plots.plot_phase_diagram(dataset(result["phase"]), figure=_figure(10.5, 7.4))
    figure.savefig(folder / "phase_diagram.png", dpi=_DPI)
    figure = _figure(12.0, 4.8)
    for ax, noise in zip(figure.subplots(1, 2), NOISES, strict=True):
        plots.plot_trainability(dataset(result[noise]), ax=ax)
    figure.savefig(folder / "trainability.png", dpi=_DPI)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def dataset(found) -> xr.Dataset:
    """Return the dataset that JSON holds; infinities and NaN are text there."""
    numbers = {
        name: {**variable, "data": np.asarray(variable["data"]).astype(float)}
        for name, variable in found["data_vars"].items()
    }
    attrs = {k: float(v) if v in ("inf", "nan") else v for k, v in found["attrs"].items()}
    return xr.Dataset.from_dict({**found, "data_vars": numbers, "attrs": attrs})


def names(result):
    """Return what the template names beside this module: the datasets."""
    maps = [dataset(result[noise]) for noise in NOISES]
    return {"phase": dataset(result["phase"]), "maps": maps}


def agreement(phase) -> str:
    """Return how far the measured exponents are from the predicted ones."""
    difference = (phase.exponent.mean("seed") - phase.predicted_exponent).transpose("gain", ...)
    size = np.abs(difference)
    worst = size.isel(size.argmax(...))
    driven = size.where(phase.input_variance >= 0.01, drop=True)
    return (
        f"Measured: {phase.attrs['hidden_size']} units, {phase.sizes['seed']} networks at each of "
        f"{size.size} points, a gradient carried back over {phase.attrs['steps']} steps. Median "
        f"difference from the prediction {float(size.median()):.3f} nats per step; largest "
        f"{float(worst):.3f}, at gain {float(worst.gain):g} and input variance "
        f"{float(worst.input_variance):g}; with input of variance 0.01 and more "
        f"{float(driven.max()):.3f}."
    )


def critical_line(phase) -> str:
    """Return the critical gain at each input variance, predicted and measured."""

    def measured(row):
        gain, error = float(row.measured_critical_gain), float(row.critical_gain_error)
        return "not in the map" if np.isnan(gain) else f"{gain:.3f} ± {error:.3f}"

    return table_of(
        [phase.isel(input_variance=i) for i in range(phase.sizes["input_variance"])],
        {
            "input variance": lambda row: f"{float(row.input_variance):g}",
            "critical gain, predicted": lambda row: f"{float(row.critical_gain):.3f}",
            "measured": measured,
        },
    )


def boundaries(maps) -> str:
    """Return at each gain how far back is recalled, beside the times of theory."""
    cells = [("gain", lambda i: f"{maps[0].gain.values[i]:g}")]
    for found in maps:
        noise = f"noise {found.attrs['input_variance']:g}"
        cells += [
            (f"{noise}: boundary", lambda i, x=found: _edge(x.boundary[i], x.lag.values)),
            ("signal time", lambda i, x=found: _steps(x.signal_time[i])),
            ("gradient time", lambda i, x=found: _steps(x.gradient_time[i])),
        ]
    return table_of(range(maps[0].sizes["gain"]), cells)


def _edge(value, lags) -> str:
    value = float(value)
    if np.isinf(value):
        return f"> {int(lags[-1])}"
    return f"< {int(lags[0])}" if value == 0 else f"{value:.3g}"


def _steps(value) -> str:
    return "∞" if np.isinf(float(value)) else f"{float(value):.3g}"


def scales(maps) -> str:
    """Return how well each of the two times of theory ranks the gains."""
    cells = [
        ("noise", lambda x: f"{x.attrs['input_variance']:g}"),
        ("gain of the longest recall", lambda x: f"{float(x.boundary.idxmax()):g}"),
    ]
    for time in ("signal", "gradient"):
        rank, multiple = f"{time}_rank_correlation", f"{time}_multiple"
        cells += [
            (f"rank correlation with the {time} time", lambda x, k=rank: f"{x.attrs[k]:.2f}"),
            ("median multiple", lambda x, k=multiple: f"{x.attrs[k]:.1f}"),
        ]
    return table_of(maps, cells)
