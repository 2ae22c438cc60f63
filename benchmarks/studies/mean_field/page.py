"""The page about mean-field predictions and its figure, from what the JSON holds."""

import numpy as np
from _tables import table
from matplotlib.figure import Figure

from vanishing_jax import theory
from vanishing_jax.plots._style import COLORS, GRAY, MARKERS

TARGET = 0.015  # nats per step

HEAD = """# Measured exponents of wide random networks beside their predictions

Written by `python benchmarks/make_readme.py` from what `python benchmarks/study.py mean_field`
measured in {minutes} CPU minutes on one core, in float32. What the theory is, and where it fails:
[docs/guides/theory.md](../docs/guides/theory.md).

Measured is the growth of one vector, (1/T) log ‖J_T … J_1 v‖, after a burn-in of {burn} steps,
T = {steps}; the mean over {seeds} networks (weights, inputs, start and v all new) ± its standard
error. "spread" is the standard deviation between networks: how far one of this size may be off.
The prediction is the limit n → ∞ at fixed T. What n = {n} changes is seen in three ways:

- **z, sampling**: difference over standard error. It counts the finite size as an error of the
  theory, so that with enough networks it grows without limit.
- **z, n → ∞**: if a finite network is off by O(1/n), twice the mean at n minus the mean at n/2 is
  free of that to leading order; its difference from the prediction over its standard error. Where
  the Jacobian is one constant matrix (no input, gain < 1: the state has died out) the exponent at
  finite n is exactly the log of W's spectral radius, and its excess over ln g, {radius:+.4f} ±
  {radius_error:.4f} from the eigenvalues of {radius_networks} other matrices, is subtracted
  instead, because it falls more slowly than 1/n.
- **Few steps.** Over many steps v turns into the few leading eigenvectors of W where the slopes
  hardly change from step to step: weak input and a gain up to 1. Over {short} steps from a random v
  it has no time to. The last columns are that growth, of {short_seeds} networks of the same size.
  What remains are networks without input around the edge of chaos, g = 1 to 1.5, where the
  approach to n → ∞ is slowest.

![Predicted and measured exponents](figures/mean_field.png)
"""


def page(result) -> str:
    """Return the text of the page."""
    plain, radius = [judged(row, result) for row in result["plain"]], result["spectral_radius"]
    settings = result["settings"]
    head = HEAD.format(
        minutes=max(1, round(sum(settings["cpu_seconds"].values()) / 60)),
        radius=radius["measured"],
        radius_error=radius["standard_error"],
        radius_networks=radius["networks"],
        short=settings["short"]["steps"],
        short_seeds=settings["short"]["seeds"],
        **settings["plain"],
    )
    parts = [head]
    if settings["quick"]:
        parts.append("**Toy sizes: only to see that it runs.**\n")
    parts += [_plain_section(plain), _wide_section(result), _normalized_section(result)]
    return "\n".join(parts)


def judged(row, result):
    """Return the row with difference and z-scores."""
    full, half, radius = row["full"], row["half"], result["spectral_radius"]
    place = (row["input_variance"], row["gain"])
    short = next(x for x in result["short"] if (x["input_variance"], x["gain"]) == place)
    difference = full["measured"] - row["predicted"]
    frozen = row["input_variance"] == 0 and row["gain"] < 1
    if frozen:
        limit = difference - radius["measured"]
        error = np.hypot(full["standard_error"], radius["standard_error"])
    else:
        limit = 2 * full["measured"] - half["measured"] - row["predicted"]
        error = np.hypot(2 * full["standard_error"], half["standard_error"])
    return row | {
        "frozen": frozen,
        "difference": difference,
        "z": difference / full["standard_error"],
        "z_limit": limit / error,
        "limit": limit,
        "limit_error": error,
        "short": short,
        "short_difference": short["measured"] - row["predicted"],
    }


def _plain_section(rows) -> str:
    shown = [
        [
            f"{row['input_variance']:g}",
            f"{row['gain']:g}",
            f"{row['predicted']:+.4f}",
            f"{row['full']['measured']:+.4f} ± {row['full']['standard_error']:.4f}",
            f"{row['full']['deviation']:.4f}",
            _marked(row["difference"]),
            f"{row['z']:+.1f}",
            f"{row['limit']:+.4f} ± {row['limit_error']:.4f}" + (" (radius)" * row["frozen"]),
            f"{row['z_limit']:+.1f}",
            f"{row['short']['measured']:+.4f} ± {row['short']['standard_error']:.4f}",
            _marked(row["short_difference"]),
            f"{row['short_difference'] / row['short']['standard_error']:+.1f}",
        ]
        for row in rows
    ]
    headings = ["s²", "g", "predicted", "measured", "spread", "difference", "z, sampling"]
    headings += ["difference, n → ∞", "z, n → ∞", "few steps", "difference", "z"]
    size = rows[0]["full"]["n"]
    return f"## Tanh networks, n = {size}\n\n{_verdict(rows)}\n\n{table(headings, shown)}\n"


def _wide_section(result) -> str:
    """Return what became of the cases outside the target at a larger size."""
    small = {(row["input_variance"], row["gain"]): row["full"] for row in result["plain"]}
    rows = []
    for row in result["wide"]:
        before = small[row["input_variance"], row["gain"]]["measured"] - row["predicted"]
        difference = row["measured"] - row["predicted"]
        rows.append(
            [
                f"{row['input_variance']:g}",
                f"{row['gain']:g}",
                f"{row['predicted']:+.4f}",
                f"{row['measured']:+.4f} ± {row['standard_error']:.4f}",
                _marked(before),
                _marked(difference),
                f"{difference / row['standard_error']:+.1f}",
            ]
        )
    inside = sum(abs(row["measured"] - row["predicted"]) <= TARGET for row in result["wide"])
    size, seeds = (result["settings"]["wide"][name] for name in ("n", "seeds"))
    old = result["settings"]["plain"]["n"]
    headings = ["s²", "g", "predicted", f"measured, n = {size}", f"difference, n = {old}"]
    headings += [f"difference, n = {size}", "z, sampling"]
    return f"""## The cases outside, in wider networks

The prediction is a limit. At n = {size} ({seeds} networks each, else the same) {inside} of the
{len(rows)} cases that were outside {TARGET} at n = {old} lie within it.

{table(headings, rows)}
"""


def _marked(difference: float) -> str:
    return f"{difference:+.4f}" + ("" if abs(difference) <= TARGET else " (!)")


def _verdict(rows) -> str:
    """Return how many are within the target in the long run, corrected, and over few steps."""
    outside = [row for row in rows if abs(row["difference"]) > TARGET]
    z = sorted(abs(row["z_limit"]) for row in rows)
    few = [abs(row["short_difference"]) for row in rows]
    where = "; ".join(f"({r['input_variance']:g}, {r['gain']:g})" for r in outside)
    return (
        f"In the long run {len(rows) - len(outside)} of {len(rows)} cases lie within {TARGET} nats "
        f"per step of the prediction; outside, marked (!), at (s², g) = {where or 'none'}, the "
        f"largest by {max(abs(row['difference']) for row in rows):.4f}. Corrected for finite n, "
        f"{sum(abs(row['limit']) <= TARGET for row in rows)} do, and |z| has median "
        f"{np.median(z):.1f} and maximum {z[-1]:.1f}. Over few steps "
        f"{sum(d <= TARGET for d in few)} do, the largest difference being {max(few):.4f}."
    )


def _normalized_section(result) -> str:
    rows = []
    for row in result["normalized"]:
        difference = row["measured"] - row["predicted"]
        rows.append(
            [
                row["norm"],
                row["placement"],
                row["activation"],
                f"{row['gain']:g}",
                f"{row['input_variance']:g}",
                f"{row['predicted']:+.4f}",
                f"{row['measured']:+.4f} ± {row['standard_error']:.4f}",
                f"{row['deviation']:.4f}",
                _marked(difference),
                f"{difference / row['standard_error']:+.1f}",
            ]
        )
    headings = ["norm", "placement", "activation", "γ", "s²", "predicted", "measured", "spread"]
    headings += ["difference", "z, sampling"]
    layer, batch = result["settings"]["layer_norm"], result["settings"]["batch_norm"]
    return f"""## Normalized networks

`LayerNormCell` at n = {layer["n"]}, {layer["steps"]} steps, {layer["seeds"]} networks;
`BatchNormCell` normalizing by its batch of {batch["batch"]} sequences at n = {batch["n"]},
{batch["steps"]} steps, {batch["seeds"]} networks, differentiated through the statistics. Weights of
gain 1, γ of both parts equal. "recurrent" is the separate placement; "input" normalizes U x alone,
and is an ordinary network with input variance γ². At small γ and at s² = 0 the network is nearly
linear, and what was said of the spectral radius of one constant W holds for it too.

{table(headings, rows)}
"""


def draw(result, folder) -> None:
    """Draw exponents over gain, their differences, and the normalized networks."""
    figure = Figure(figsize=(11.5, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    plain = [judged(row, result) for row in result["plain"]]
    variances = list(dict.fromkeys(row["input_variance"] for row in plain))
    for i, variance in enumerate(variances):
        rows = [row for row in plain if row["input_variance"] == variance]
        gains = np.array([row["gain"] for row in rows])
        _draw_curve(left, variance, gains, COLORS[i])
        style = {"color": COLORS[i], "marker": MARKERS[i], "linestyle": "none", "capsize": 2}
        errors = 2 * np.array([row["full"]["standard_error"] for row in rows])
        measured = [row["full"]["measured"] for row in rows]
        style |= {"markersize": 4, "label": f"s² = {variance:g}"}
        left.errorbar(gains, measured, errors, **style)
        shifted = gains + 0.02 * (i - 1.5)
        middle.errorbar(shifted, [row["difference"] for row in rows], errors, **style)
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
        style = {"color": COLORS[i], "marker": MARKERS[i], "linestyle": "none", "markersize": 4}
        ax.errorbar(predicted, measured, errors, capsize=2, label=", ".join(group), **style)
    low, high = ax.get_xlim()
    ax.plot([low, high], [low, high], color=GRAY, linewidth=0.8)
    ax.set(xlabel="predicted (nats per step)", ylabel="measured (nats per step)")
    ax.set_title("Normalized networks")
    ax.legend(fontsize=8)
