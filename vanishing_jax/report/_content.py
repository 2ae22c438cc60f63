"""A diagnosis as the words, numbers and tables that the report's template lays out."""

import base64
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..diagnostics._text import data_text, measured_rows, note_rows
from ..diagnostics._words import Number, horizon_text, rate_text
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
_MEANINGS = {
    "data": "what the cell was run on, and all that it carries from step to step",
    "gradient": "what was carried back",
    "rate": "mean change of the log gradient at each step back; half width over sequences",
    "zeros": "there, no gradient reaches the steps before; a finite rate is that of the others",
    "horizon": "of the median sequence",
    "theory": "what is predicted without looking at these weights",
    "exponents": "growth of the direction that lasts longest, whether or not the loss asks for it",
}


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
            **_answer(reach),
            "toward": f"into the {toward}",
            "smallest": reach.gradients.sentence(),
        }
        for toward, reach in diagnosis.reaches.items()
    ]
    figures = [figure_content(spec, diagnosis) for spec in network_figures(diagnosis)]
    return {**_headline(diagnosis), "rows": rows, "figures": figures}


def _answer(diagnosis: Any) -> dict[str, str]:
    """Return what a row of a table says of a diagnosis."""
    return {
        "verdict": diagnosis.verdict,
        "symbol": _SYMBOLS.get(diagnosis.verdict, "?"),
        "rate": rate_text(diagnosis.rate, diagnosis.rate_error),
        "horizon": horizon_text(diagnosis.horizon, diagnosis.horizon_is_extrapolated),
    }


def _headline(diagnosis: Any) -> dict[str, Any]:
    """Return verdict and reason, with rate, horizon and data beside it."""
    answer = _answer(diagnosis)
    rate = ("rate", f"{answer['rate']} nats per step")
    return {
        **answer,
        "reason": diagnosis.reason[:1].upper() + diagnosis.reason[1:],
        "headline": [rate, ("horizon", answer["horizon"]), ("data", data_text(diagnosis))],
    }


def _section(label: str, slug: str, diagnosis: Any) -> dict[str, Any]:
    measured = [*measured_rows(diagnosis), *note_rows(diagnosis)]
    return {
        **_headline(diagnosis),
        "label": str(label),
        "slug": slug,
        "measured": [(name, text, _MEANINGS.get(name, "")) for name, text in measured],
        "causes": [_effect(effect, effect.blames) for effect in diagnosis.causes],
        "recommendations": [_effect(effect) for effect in diagnosis.recommendations],
        "others": _other_effects(diagnosis),
        "skipped": list(diagnosis.skipped.items()),
        "kinds": {effect.kind for effect in diagnosis.effects},
        "figures": [figure_content(spec, diagnosis, label) for spec in figures_of(diagnosis)],
    }


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
    return [
        {**_answer(one), "label": str(label), "slug": slug, "first": _try_first(one)}
        for (label, one), slug in zip(labeled.items(), names, strict=True)
    ]


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

    from ..comparison._result import versions

    devices = jax.devices()
    kind = f"{len(devices)} × {devices[0].device_kind}"
    now = datetime.datetime.now(datetime.UTC)
    return [
        *versions().items(),
        ("backend", f"{jax.default_backend()} ({kind})"),
        ("64-bit types", "on" if jax.config.jax_enable_x64 else "off"),  # pyright: ignore
        ("date", now.strftime("%Y-%m-%d %H:%M UTC")),
    ]
