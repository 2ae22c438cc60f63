"""Tables of the page about mean-field predictions and its figure, from what the JSON holds."""

import numpy as np
from _pages import first_of_each, table_of
from matplotlib.figure import Figure

from vanishing_jax import theory
from vanishing_jax.plots._style import COLORS, GRAY, MARKERS

TARGET = 0.015  # nats per step


def names(result):
    """Return what the template names beside this module: the plain networks, judged."""
    return {"plain": [judged(row, result) for row in result["plain"]]}


def difference(row) -> float:
    """Return measured minus predicted."""
    return row["measured"] - row["predicted"]


def judged(row, result):
    """Return the row of a plain network with its difference in the limit n → ∞.

    `full`, `half` and `short` hold the prediction, too.
    """
    place = {name: row[name] for name in ("input_variance", "gain")}
    full, half = (row[name] | {"predicted": row["predicted"]} for name in ("full", "half"))
    short = next(x for x in result["short"] if place.items() <= x.items())
    frozen = row["input_variance"] == 0 and row["gain"] < 1
    if frozen:
        radius = result["spectral_radius"]
        limit = difference(full) - radius["measured"]
        error = np.hypot(full["standard_error"], radius["standard_error"])
    else:
        limit = 2 * full["measured"] - half["measured"] - row["predicted"]
        error = np.hypot(2 * full["standard_error"], half["standard_error"])
    found = {"full": full, "short": short, "frozen": frozen}
    return row | found | {"limit": limit, "limit_error": error, "z_limit": limit / error}


# --- tables -----------------------------------------------------------------------------------

_PLACE = [
    ("s²", lambda row: f"{row['input_variance']:g}"),
    ("g", lambda row: f"{row['gain']:g}"),
    ("predicted", lambda row: f"{row['predicted']:+.4f}"),
]


def marked(difference: float) -> str:
    """Return a difference, marked where it is outside the target."""
    return f"{difference:+.4f}" + ("" if abs(difference) <= TARGET else " (!)")


def measured(row) -> str:
    """Return the mean over networks and its error."""
    return f"{row['measured']:+.4f} ± {row['standard_error']:.4f}"


def z(row) -> str:
    """Return the difference in standard errors."""
    return f"{difference(row) / row['standard_error']:+.1f}"


def plain_table(rows) -> str:
    """Return a line for each plain network."""

    def limit(row):
        return f"{row['limit']:+.4f} ± {row['limit_error']:.4f}" + " (radius)" * row["frozen"]

    cells = [
        *_PLACE,
        ("measured", lambda row: measured(row["full"])),
        ("spread", lambda row: f"{row['full']['deviation']:.4f}"),
        ("difference", lambda row: marked(difference(row["full"]))),
        ("z, sampling", lambda row: z(row["full"])),
        ("difference, n → ∞", limit),
        ("z, n → ∞", lambda row: f"{row['z_limit']:+.1f}"),
        ("few steps", lambda row: measured(row["short"])),
        ("difference", lambda row: marked(difference(row["short"]))),
        ("z", lambda row: z(row["short"])),
    ]
    return table_of(rows, cells)


def wide_table(result) -> str:
    """Return what became of the cases outside the target at a larger size."""
    small = {(row["input_variance"], row["gain"]): row["full"] for row in result["plain"]}
    wide, plain = (result["settings"][name]["n"] for name in ("wide", "plain"))

    def before(row):
        found = small[row["input_variance"], row["gain"]]
        return marked(found["measured"] - row["predicted"])

    cells = [
        *_PLACE,
        (f"measured, n = {wide}", measured),
        (f"difference, n = {plain}", before),
        (f"difference, n = {wide}", lambda row: marked(difference(row))),
        ("z, sampling", z),
    ]
    return table_of(result["wide"], cells)


def normalized_table(rows) -> str:
    """Return a line for each normalized network."""
    cells = {
        "norm": "norm",
        "placement": "placement",
        "activation": "activation",
        "γ": lambda row: f"{row['gain']:g}",
        **dict([_PLACE[0], _PLACE[2]]),
        "measured": measured,
        "spread": lambda row: f"{row['deviation']:.4f}",
        "difference": lambda row: marked(difference(row)),
        "z, sampling": z,
    }
    return table_of(rows, cells)


def verdict(rows) -> str:
    """Return how many are within the target in the long run, corrected, and over few steps."""
    full, few = ([abs(difference(row[name])) for row in rows] for name in ("full", "short"))
    outside = [row for row, size in zip(rows, full, strict=True) if size > TARGET]
    z_limit = np.abs([row["z_limit"] for row in rows])
    where = "; ".join(f"({r['input_variance']:g}, {r['gain']:g})" for r in outside)
    return (
        f"In the long run {len(rows) - len(outside)} of {len(rows)} cases lie within {TARGET} nats "
        f"per step of the prediction; outside, marked (!), at (s², g) = {where or 'none'}, the "
        f"largest by {max(full):.4f}. Corrected for finite n, "
        f"{sum(abs(row['limit']) <= TARGET for row in rows)} do, and |z| has median "
        f"{np.median(z_limit):.1f} and maximum {z_limit.max():.1f}. Over few steps "
        f"{sum(d <= TARGET for d in few)} do, the largest difference being {max(few):.4f}."
    )


# --- the figure -------------------------------------------------------------------------------


def draw(result, folder) -> None:
    """Draw exponents over gain, their differences, and the normalized networks."""
    figure = Figure(figsize=(11.5, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    plain = [judged(row, result) for row in result["plain"]]
    for i, variance in enumerate(first_of_each(plain, "input_variance")):
        rows = [row for row in plain if row["input_variance"] == variance]
        gains = np.array([row["gain"] for row in rows])
        _draw_curve(left, variance, gains, COLORS[i])
        errors = 2 * np.array([row["full"]["standard_error"] for row in rows])
        style = _style(i) | {"label": f"s² = {variance:g}"}
        left.errorbar(gains, [row["full"]["measured"] for row in rows], errors, **style)
        shifted = gains + 0.02 * (i - 1.5)
        middle.errorbar(shifted, [difference(row["full"]) for row in rows], errors, **style)
    left.axhline(0, color=GRAY, linewidth=0.8)
    left.set(xlabel="gain g", ylabel="leading exponent (nats per step)")
    left.set_title(f"Tanh, n = {plain[0]['full']['n']}; lines: predicted")
    left.legend(fontsize=8)
    middle.axhspan(-TARGET, TARGET, color=GRAY, alpha=0.2, label=f"± {TARGET}")
    middle.axhline(0, color=GRAY, linewidth=0.8)
    middle.set(xlabel="gain g", ylabel="measured − predicted (nats per step)")
    middle.set_title("Difference, ± 2 standard errors")
    _draw_normalized(right, result["normalized"])
    figure.savefig(folder / "mean_field.png", dpi=110)


def _style(i: int) -> dict:
    style = {"color": COLORS[i], "marker": MARKERS[i], "linestyle": "none"}
    return style | {"markersize": 4, "capsize": 2}


def _draw_curve(ax, variance, gains, color):
    fine = np.linspace(gains.min(), gains.max(), 60)
    exponents = [
        theory.mean_field_exponent(activation="tanh", gain=g, input_variance=variance) for g in fine
    ]
    ax.plot(fine, exponents, color=color, linewidth=1)


def _draw_normalized(ax, rows):
    groups = list(dict.fromkeys((row["norm"], row["placement"]) for row in rows))
    for i, group in enumerate(groups):
        chosen = [row for row in rows if (row["norm"], row["placement"]) == group]
        predicted, measured = ([row[key] for row in chosen] for key in ("predicted", "measured"))
        errors = [2 * row["standard_error"] for row in chosen]
        ax.errorbar(predicted, measured, errors, label=", ".join(group), **_style(i))
    low, high = ax.get_xlim()
    ax.plot([low, high], [low, high], color=GRAY, linewidth=0.8)
    ax.set(xlabel="predicted (nats per step)", ylabel="measured (nats per step)")
    ax.set_title("Normalized networks")
    ax.legend(fontsize=8)
