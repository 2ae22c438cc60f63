"""The section of docs/guides/theory.md on phase diagrams, and its figures, from the JSON."""

import numpy as np
import xarray as xr
from _tables import table
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


def page(result) -> str:
    """Return the tables and what they were measured with."""
    phase, maps = dataset(result["phase"]), [dataset(result[noise]) for noise in NOISES]
    minutes = sum(result["settings"]["cpu_seconds"].values()) / 60
    parts = [
        "**Toy sizes: only to see that it runs.**" if result["settings"]["quick"] else "",
        "![Phase diagram](phase_diagram.png)",
        _agreement(phase),
        _critical_line(phase),
        "![Trainability](trainability.png)",
        _boundaries(maps),
        _scales(maps),
        f"`python benchmarks/study.py phase`, {result['utc'][:10]}, {max(1, round(minutes))} CPU "
        f"minutes, JAX {result['versions']['jax']}.",
    ]
    return "\n\n".join(part for part in parts if part)


def _agreement(phase) -> str:
    difference = (phase.exponent.mean("seed") - phase.predicted_exponent).transpose("gain", ...)
    size = np.abs(difference)
    place = size.argmax(...)
    worst = size.isel(place)
    driven = size.where(phase.input_variance >= 0.01, drop=True)
    return (
        f"Measured: {phase.attrs['hidden_size']} units, {phase.sizes['seed']} networks at each of "
        f"{size.size} points, a gradient carried back over {phase.attrs['steps']} steps. Median "
        f"difference from the prediction {float(size.median()):.3f} nats per step; largest "
        f"{float(worst):.3f}, at gain {float(worst.gain):g} and input variance "
        f"{float(worst.input_variance):g}; with input of variance 0.01 and more "
        f"{float(driven.max()):.3f}."
    )


def _critical_line(phase) -> str:
    rows = [
        [f"{float(row.input_variance):g}", f"{float(row.critical_gain):.3f}", _measured(row)]
        for row in (phase.isel(input_variance=i) for i in range(phase.sizes["input_variance"]))
    ]
    return table(["input variance", "critical gain, predicted", "measured"], rows)


def _measured(row) -> str:
    gain, error = (float(row[name].squeeze()) for name in _MEASURED)
    return "not in the map" if np.isnan(gain) else f"{gain:.3f} ± {error:.3f}"


_MEASURED = ("measured_critical_gain", "critical_gain_error")


def _steps(value) -> str:
    value = float(value)
    return "∞" if np.isinf(value) else f"{value:.3g}"


def _edge(value, lags) -> str:
    value = float(value)
    if np.isinf(value):
        return f"> {int(lags[-1])}"
    return f"< {int(lags[0])}" if value == 0 else f"{value:.3g}"


def _boundaries(maps) -> str:
    headings = ["gain"]
    for found in maps:
        noise = f"noise {found.attrs['input_variance']:g}"
        headings += [f"{noise}: boundary", "signal time", "gradient time"]
    rows = []
    for i, gain in enumerate(maps[0].gain.values):
        row = [f"{gain:g}"]
        for found in maps:
            at = found.isel(gain=i)
            row += [_edge(at.boundary, found.lag.values), _steps(at.signal_time)]
            row.append(_steps(at.gradient_time))
        rows.append(row)
    return table(headings, rows)


def _scales(maps) -> str:
    rows = []
    for found in maps:
        attrs = found.attrs
        best = float(found.boundary.idxmax())
        row = [f"{attrs['input_variance']:g}", f"{best:g}"]
        for name in ("signal", "gradient"):
            row += [f"{attrs[f'{name}_rank_correlation']:.2f}", f"{attrs[f'{name}_multiple']:.1f}"]
        rows.append(row)
    headings = ["noise", "gain of the longest recall"]
    for name in ("signal", "gradient"):
        headings += [f"rank correlation with the {name} time", "median multiple"]
    return table(headings, rows)
