"""Tables of the page about accuracy and bound, and its figure."""

import numpy as np
from _pages import first_of_each, short, table_of
from matplotlib.figure import Figure

from vanishing_jax.plots._style import COLORS, GRAY, MARKERS


def found(result) -> str:
    """Return how errors and bounds of random chains of all families fared, at each tolerance."""

    def largest(row):
        rows = result["random_chains"]
        bounded = [r for r in rows if np.isfinite(float(r.get("max_bound", "nan")))]
        own = [r for r in bounded if r["tolerance"] == row["tolerance"]]
        return short(max((float(r["max_error"]) for r in own), default=np.nan))

    cells = {
        "tolerance": tolerance,
        "random chains": "chains",
        "largest error under a finite bound, nats": largest,
        "bound below its error": lambda r: f"{r['violations']} of {r['singular_values']}",
        "tolerance broken": "broken_promises",
        "zeros right": lambda r: f"{r['zeros_right']} of {r['chains']}",
    }
    return table_of(result["slack"], cells)


def tolerance(row) -> str:
    """Return the tolerance, or that there was none."""
    return f"{row['tolerance']:g}" if row["tolerance"] else "none"


def family_table(rows) -> str:
    """Return one line per family: its errors at each tolerance, and how its bounds held."""

    def mine(family):
        return [row for row in rows if row["family"] == family]

    def at(tolerance):
        def error(family):
            errors = {row["tolerance"]: row["max_error"] for row in mine(family)}
            return short(errors.get(tolerance, "failed"))

        return error

    def first(key):
        return lambda family: short(mine(family)[0][key])

    def total(key):
        return lambda family: sum(row[key] for row in mine(family))

    cells = {
        "family": lambda family: family,
        "lowest log σ": first("lowest_log_sigma"),
        **{
            f"tolerance {value:g}" if value else "no tolerance": at(value)
            for value in first_of_each(rows, "tolerance")
        },
        "bound there": first("bound_there"),
        "bound/error": first("median_bound_over_error"),
        "worst error/bound": lambda family: short(
            max(float(row["worst_error_over_bound"]) for row in mine(family))
        ),
        "bound < error": total("violations"),
        "tolerance broken": total("broken_promises"),
        "not checked": total("not_checked"),
        "zeros right": lambda x: f"{total('zeros_right')(x)} of {total('spectra')(x)}",
    }
    return table_of(first_of_each(rows, "family"), cells)


def bound_table(rows) -> str:
    """Return one line per tolerance: how the bound fared on random chains."""
    cells = {
        "tolerance": tolerance,
        "chains": "chains",
        "singular values": "singular_values",
        "bound < error": lambda r: (
            f"{r['violations']} ({r['violations_ill_conditioned']} ill-conditioned)"
        ),
        "worst error/bound": "worst_error_over_bound",
        "tolerance broken": "broken_promises",
        "not checked": "not_checked",
        "infinite bounds": "infinite_bounds",
        "zeros right": lambda r: f"{r['zeros_right']} of {r['chains']}",
        "bound/error, quantiles 5, 50, 95 %": lambda r: ", ".join(
            map(short, r["slack_quantiles_5_50_95"])
        ),
    }
    return table_of(rows, cells)


def float32_table(rows) -> str:
    """Return one line per family of float32 Jacobians."""
    cells = {
        "family": "family",
        "error": "max_error",
        "bound there": "bound_there",
        "zeros found": lambda r: f"{r['zeros_found']} of {r['zeros']}",
        "error in float32 arithmetic": "float32_arithmetic",
    }
    return table_of(rows, cells)


def long_run_table(rows) -> str:
    """Return one line per long run."""
    keys = ("chain", "n", "steps", "reference")
    cells = {"log σ₁": "log_sigma_1", "lowest": "log_sigma_last", "error": "error"}
    cells |= {"relative": "relative_error", "largest bound": "max_bound"}
    return table_of(rows, {key: key for key in keys} | cells)


_LARGEST = 1e8


def draw(result, folder) -> None:
    """Error against bound of every spectrum, one panel; below the diagonal a bound would lie."""
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    ax = figure.subplots()
    everything = result["random_chains"] + result["grid"]
    for i, value in enumerate(first_of_each(everything, "tolerance")):
        rows = [r for r in everything if r["tolerance"] == value and "max_error" in r]
        pairs = np.array([[float(r["max_error"]), float(r["bound_there"])] for r in rows])
        pairs = pairs[pairs[:, 0] > 0]
        # What is infinite is drawn at the edge: an infinite bound above every error.
        error, bound = np.minimum(pairs[:, 0], _LARGEST / 10), np.minimum(pairs[:, 1], _LARGEST)
        label = f"tolerance {value:g}" if value else "no tolerance"
        style = {"s": (42, 20, 7)[i % 3], "marker": MARKERS[i], "edgecolors": COLORS[i]}
        ax.scatter(error, bound, label=f"{label} ({len(rows)} spectra)", facecolors="none", **style)
    ends = np.array([1e-16, _LARGEST])
    ax.plot(ends, ends, color=GRAY, linewidth=1, label="bound = error")
    ax.set(xscale="log", yscale="log", xlabel="largest error of a log singular value (nats)")
    ax.set(ylabel="its error bound (nats); infinite at the top")
    ax.set_title("Every bound should lie above the line")
    ax.legend(fontsize=8, loc="lower right")
    figure.savefig(folder / "error_and_bound.png", dpi=110)
