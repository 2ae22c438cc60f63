"""A diagnosis as the words, numbers and tables that the report's template lays out."""

import base64
import datetime
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..diagnostics._words import (
    Number,
    count_text,
    horizon_text,
    rate_text,
    zero_share_text,
)
from ._figures import (
    OVERLAY,
    FigureSpec,
    draw_png,
    figures_of,
    is_network,
    network_figures,
    slugs,
)

_SYMBOLS = {"healthy": "✓", "vanishing": "↓", "exploding": "↑", "inconclusive": "?"}
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_PACKAGES = ("jax", "jaxlib", "equinox", "vanishing_jax", "numpy", "matplotlib")


def report_content(
    diagnoses: Any,
    *,
    title: str,
    configuration: Mapping[str, Any] | None,
    table: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Return everything the template shows; plain strings throughout, escaped by the template."""
    network = diagnoses if is_network(diagnoses) else None
    diagnoses = diagnoses.parts if network is not None else diagnoses
    labeled = dict(diagnoses) if isinstance(diagnoses, Mapping) else {"": diagnoses}
    names = slugs(list(labeled))
    several = len(labeled) > 1
    sections = [
        _section(label, slug, diagnosis)
        for (label, diagnosis), slug in zip(labeled.items(), names, strict=True)
    ]
    return {
        "title": title,
        "network": None if network is None else _network(network),
        "sections": sections,
        "several": several,
        "overview": _overview(labeled, names) if several else None,
        "overlay": figure_content(OVERLAY, labeled) if several else None,
        "table": _user_table(table),
        "configuration": flatten(configuration or {}),
        "versions": _versions(),
    }


def _network(diagnosis: Any) -> dict[str, Any]:
    """Return the verdict on a network as a whole, and how its gradient travels through it."""
    rows = [
        {
            "toward": f"into the {toward}",
            "verdict": reach.verdict,
            "symbol": _SYMBOLS.get(reach.verdict, "?"),
            "rate": rate_text(reach.rate, reach.rate_error),
            "horizon": horizon_text(reach.horizon, reach.horizon_is_extrapolated),
            "smallest": reach.gradients.sentence(),
        }
        for toward, reach in diagnosis.reaches.items()
    ]
    return {
        "verdict": diagnosis.verdict,
        "symbol": _SYMBOLS.get(diagnosis.verdict, "?"),
        "reason": diagnosis.reason[:1].upper() + diagnosis.reason[1:],
        "headline": [
            ("rate", f"{rate_text(diagnosis.rate, diagnosis.rate_error)} nats per step"),
            ("horizon", horizon_text(diagnosis.horizon, diagnosis.horizon_is_extrapolated)),
            ("data", _data_size(diagnosis)),
        ],
        "rows": rows,
        "figures": [figure_content(spec, diagnosis) for spec in network_figures(diagnosis)],
    }


def _section(label: str, slug: str, diagnosis: Any) -> dict[str, Any]:
    return {
        "label": str(label),
        "slug": slug,
        "verdict": diagnosis.verdict,
        "symbol": _SYMBOLS.get(diagnosis.verdict, "?"),
        "reason": diagnosis.reason[:1].upper() + diagnosis.reason[1:],
        "headline": [
            ("rate", f"{rate_text(diagnosis.rate, diagnosis.rate_error)} nats per step"),
            ("horizon", horizon_text(diagnosis.horizon, diagnosis.horizon_is_extrapolated)),
            ("data", _data_size(diagnosis)),
        ],
        "measured": _measured(diagnosis),
        "directions": _directions(diagnosis),
        "causes": [_effect(effect, effect.blames) for effect in diagnosis.causes],
        "recommendations": [_effect(effect) for effect in diagnosis.recommendations],
        "others": _other_effects(diagnosis),
        "skipped": list(diagnosis.skipped.items()),
        **_words(diagnosis),
        "figures": [figure_content(spec, diagnosis, label) for spec in figures_of(diagnosis)],
    }


def _words(diagnosis: Any) -> dict[str, str]:
    """Return what the tables of changes say: a network that works needs no causes or remedies."""
    if diagnosis.verdict == "healthy":
        return {
            "try_heading": "What each change would do",
            "no_remedy": "Nothing needs mending.",
            "no_cause": "",
            "others_caption": "Rate and horizon after each change, measured on the same data.",
        }
    if diagnosis.verdict == "inconclusive":
        return {
            "try_heading": "What each change would do",
            "no_remedy": "The verdict is open, so no change is proposed and no cause is named.",
            "no_cause": "",
            "others_caption": "Rate and horizon after each change, measured on the same data.",
        }
    kinds = {effect.kind for effect in diagnosis.effects}
    return {
        "try_heading": "What to try",
        "no_remedy": "No remedy that was measured helps."
        if "remedy" in kinds
        else "No remedy was measured.",
        "no_cause": "No single cause was found." if kinds else "No intervention was measured.",
        "others_caption": "Also measured, on the same data.",
    }


def _data_size(diagnosis: Any) -> str:
    sequences = count_text(diagnosis.num_sequences, "sequence")
    return f"{sequences} of {count_text(diagnosis.num_steps, 'step')}"


def _measured(diagnosis: Any) -> list[tuple[str, str, str]]:
    """Return rows (quantity, value, meaning)."""
    rows = [
        (
            "rate",
            f"{rate_text(diagnosis.rate, diagnosis.rate_error)} nats per step",
            "mean change of the log gradient at each step back; 95 % half width over sequences",
        ),
        (
            "factor per step",
            _factor(diagnosis.rate),
            "what one step back multiplies the gradient by",
        ),
        (
            "horizon",
            horizon_text(diagnosis.horizon, diagnosis.horizon_is_extrapolated),
            "steps until the gradient of the median sequence is below 0.001 of its start",
        ),
    ]
    if diagnosis.zero_share > 0:
        rows.append(
            (
                "exact zeros",
                zero_share_text(diagnosis.zero_share),
                "there, no gradient reaches the steps before; the rate is that of the others"
                if np.isfinite(diagnosis.rate)
                else "there, no gradient reaches the steps before",
            )
        )
    exponents = np.asarray(diagnosis.lyapunov.exponents, float)
    if exponents.size:
        error = float(np.ravel(diagnosis.lyapunov.standard_error)[0])
        # Not "±", which is a 95 % half width everywhere else.
        largest, _, error = rate_text(float(exponents[0]), error).partition(" ± ")
        standard_error = f" (standard error {error})" if error else ""
        rows.append(
            (
                "largest Lyapunov exponent",
                f"{largest} nats per step{standard_error}",
                "growth of the direction that lasts longest, whether or not the loss asks for it",
            )
        )
    rows.append(("gradient", diagnosis.gradient_source, "what was carried back"))
    rows.append(("data", _data_size(diagnosis), "what the cell was run on"))
    size = count_text(diagnosis.state_size, "component")
    rows.append(("state", size, "the whole of what the cell carries from step to step"))
    rows += [("note", note, "") for note in diagnosis.notes]
    return rows


def _directions(diagnosis: Any) -> list[tuple[str, str, str]]:
    """Return rows (lag, surviving directions, condition)."""
    conditions = diagnosis.log10_condition
    lags = sorted({*diagnosis.surviving_directions, *conditions})
    rows = []
    for lag in lags:
        count = diagnosis.surviving_directions.get(lag, np.nan)
        survivors = f"{number_text(count)} of {diagnosis.state_size}"
        rows.append((str(lag), survivors, _condition(conditions.get(lag, np.nan))))
    return rows


def _condition(log10: Number) -> str:
    if np.isposinf(log10):
        return "∞ (a singular value is exactly 0)"
    if np.isnan(log10):
        return "not measured"
    if log10 < 4:
        return f"{10.0**log10:.2g}" if log10 < 2 else f"{10.0**log10:.0f}"
    # Not by way of a float: a condition number of 10^400 is common and has none.
    exponent = int(np.floor(log10))
    return f"{10.0 ** (log10 - exponent):.1f} × 10{str(exponent).translate(_SUPERSCRIPT)}"


def _factor(rate: Number) -> str:
    if np.isneginf(rate):
        return "exactly 0"
    return "not measured" if np.isnan(rate) else number_text(float(np.exp(min(rate, 700.0))))


def _effect(effect: Any, cause: str | None = None) -> dict[str, str]:
    return {
        "name": cause or effect.name,
        "description": effect.description,
        "rate": rate_text(effect.rate, effect.rate_error),
        "horizon": horizon_text(effect.horizon, effect.horizon_is_extrapolated),
    }


def _other_effects(diagnosis: Any) -> list[dict[str, str]]:
    named = {effect.name for effect in [*diagnosis.causes, *diagnosis.recommendations]}
    return [_effect(effect) for effect in diagnosis.effects if effect.name not in named]


def figure_content(spec: FigureSpec, data: Any, label: str = "") -> dict[str, Any]:
    """Return what the template shows of one figure, the picture itself included."""
    png, width, height = draw_png(spec, data)
    return {
        "title": spec.title,
        "alt": f"{spec.title}: {label}" if label else spec.title,
        "reading": spec.reading,
        "source": "data:image/png;base64," + base64.b64encode(png).decode("ascii"),
        "width": width,
        "height": height,
    }


def _overview(labeled: Mapping[str, Any], names: list[str]) -> list[dict[str, str]]:
    rows = []
    for (label, diagnosis), slug in zip(labeled.items(), names, strict=True):
        rows.append(
            {
                "label": str(label),
                "slug": slug,
                "verdict": diagnosis.verdict,
                "symbol": _SYMBOLS.get(diagnosis.verdict, "?"),
                "rate": rate_text(diagnosis.rate, diagnosis.rate_error),
                "horizon": horizon_text(diagnosis.horizon, diagnosis.horizon_is_extrapolated),
                "first": _try_first(diagnosis),
            }
        )
    return rows


def _try_first(diagnosis: Any) -> str:
    if diagnosis.verdict == "healthy":
        return "nothing needed"
    if diagnosis.recommendations:
        return diagnosis.recommendations[0].name
    if diagnosis.verdict == "inconclusive":
        return "nothing yet: the verdict is open"
    return "nothing measured helps" if diagnosis.effects else "nothing measured"


def _user_table(table: Sequence[Mapping[str, Any]] | None) -> dict[str, Any] | None:
    """Return columns in order of first appearance, and rows of texts."""
    if not table:
        return None
    columns = list(dict.fromkeys(str(column) for row in table for column in row))
    texts = [{str(column): value_text(value) for column, value in row.items()} for row in table]
    return {"columns": columns, "rows": [[row.get(c, "") for c in columns] for row in texts]}


def flatten(configuration: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return `(dotted name, value)` rows of a possibly nested configuration."""
    rows: list[tuple[str, str]] = []
    for name, value in configuration.items():
        if isinstance(value, Mapping) and value:
            rows += flatten(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", value_text(value)))
    return rows


def number_text(value: Number) -> str:
    """Return a number with four digits, and the special values as words."""
    if np.isnan(value):
        return "not measured"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.4g}".replace("-", "−")


def value_text(value: Any) -> str:
    """Return a cell's text: numbers readable, anything else as `str` gives it."""
    if isinstance(value, float | np.floating):
        return number_text(float(value))
    return "" if value is None else str(value)


def _versions() -> list[tuple[str, str]]:
    import jax

    rows = [("python", platform.python_version())]
    for package in _PACKAGES:
        try:
            rows.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:  # run from a checkout
            rows.append((package, "source checkout"))
    devices = jax.devices()
    kind = f"{len(devices)} × {devices[0].device_kind}"
    now = datetime.datetime.now(datetime.UTC)
    return [
        *rows,
        ("backend", f"{jax.default_backend()} ({kind})"),
        ("64-bit types", "on" if jax.config.jax_enable_x64 else "off"),  # pyright: ignore
        ("date", now.strftime("%Y-%m-%d %H:%M UTC")),
    ]
