"""Tables and findings of the page about depth, and its figure, from what the study stored."""

import numpy as np
from _pages import table_of
from matplotlib.figure import Figure

from vanishing_jax.plots._style import COLORS, LINE_STYLES, light_grid


def networks(rows) -> str:
    """Return a line for each network."""
    return table_of(
        rows,
        {
            "network": "network",
            "growth": growth,
            "law": lambda row: f"{row['law']:.4f}" if "law" in row else "–",
            "z": lambda row: f"{row['z']:+.1f}" if "law" in row else "–",
            "near the input": lambda row: f"{halves(row)[0]:.3f}",
            "near the output": lambda row: f"{halves(row)[1]:.3f}",
            "horizon": horizon,
            "input/output": lambda row: f"10^{row['log10_end_to_end']:+.1f}",
        },
    )


def growth(row) -> str:
    """Return the growth of the squared gradient per layer, and its error."""
    return f"{row['factor']:.4f} ± {row['factor'] * row['nats_error']:.4f}"


def horizon(row) -> str:
    """Return how many layers change the gradient's norm by a factor of 1000."""
    nats = row["nats"]
    if nats == 0:
        return "–"
    layers = np.log(1e3) / (abs(nats) / 2)
    return f"{layers:.0f} ({'explodes' if nats > 0 else 'vanishes'})"


def halves(row) -> tuple[float, float]:
    """Return the growth of the squared gradient per layer near the input and near the output."""
    median = np.asarray(row["log10_profile"])[1]
    first, middle, last = row["first"], (row["first"] + row["last"]) // 2, row["last"]
    return tuple(
        float(10 ** (2 * (median[a] - median[b]) / (b - a)))
        for a, b in ((first, middle), (middle, last))
    )


def findings(rows) -> str:
    """Return in words what the rows of the article's "deep architecture" say, where there are."""
    found, lines = {row["network"]: row for row in rows}, []
    factor = {name: f"{row['factor']:.3f}" for name, row in found.items()}
    if {"tanh, Glorot", "ReLU, He"} <= found.keys():
        lines.append(
            "- *Deeper is worse* holds per layer, at a rate that the initialization sets: "
            f"{factor['tanh, Glorot']} for tanh with Glorot's, {factor['ReLU, He']} for ReLU with "
            "He's."
        )
    norm, skip = "ReLU, batch norm", "ReLU, batch norm, skip"
    if {norm, skip} <= found.keys():
        lines.append(
            f"- Batch normalization alone makes gradients explode, {factor[norm]} per layer (law "
            f"{found[norm]['law']:.3f}); around it a skip leaves {factor[skip]}, "
            f"{halves(found[skip])[1]:.3f} near the output: the larger the stream that the layers "
            "before have summed up, the less one more layer changes."
        )
    before, after = (f"ReLU, layer norm {place}, skip" for place in ("before", "after"))
    if {before, after} <= found.keys():
        lines.append(
            f"- Where the norm stands counts: {factor[before]} per layer before the branch, "
            f"{factor[after]} after the sum, where every layer divides the stream again."
        )
    if "transformer, pre-norm" in found:
        near = halves(found["transformer, pre-norm"])
        lines.append(
            f"- The pre-norm transformer: {factor['transformer, pre-norm']} per block, "
            f"{near[0]:.3f} near the input, {near[1]:.3f} near the output."
        )
    return "\n".join(lines)


def limit(rows) -> str:
    """Return a line for each size of ReLU with batch norm, and for the limit."""

    def size(row):
        return "limit" if row["width"] == "inf" else f"{row['width']} × {row['batch']}"

    def z(row):
        chi2 = f"; χ²/degree {row['chi2_per_degree']:.1f}" if "chi2_per_degree" in row else ""
        return f"{row['z']:+.1f}{chi2}"

    law = {"law": lambda row: f"{rows[0]['law']:.4f}"}
    return table_of(rows, {"width × batch": size, "growth": growth, **law, "z": z})


def draw(result, folder) -> None:
    """Median and quartiles over seeds of the gradient norm at every layer, networks in two panels.

    Left what has no skip, right what has one.
    """
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    panels = zip(figure.subplots(1, 2), ("without skips", "with skips"), strict=True)
    for has_skip, (ax, title) in enumerate(panels):
        rows = [row for row in result["rows"] if _has_skip(row) == has_skip]
        for i, row in enumerate(rows):
            low, median, high = np.asarray(row["log10_profile"], float)
            layer, color = np.arange(len(median)), COLORS[i % len(COLORS)]
            style = LINE_STYLES[(i + i // len(COLORS)) % len(LINE_STYLES)]
            ax.plot(layer, median, color=color, linestyle=style, label=row["network"])
            ax.fill_between(layer, low, high, color=color, alpha=0.15, linewidth=0)
        ax.axhline(0, color="#5f6670", linewidth=0.8)
        ax.set_title(title, loc="left", fontsize=10, fontweight="bold")
        ax.set_xlabel("layer $l$ (0: input)")
        ax.set_ylabel(r"$\log_{10}\,\|\partial L/\partial x_l\|$, 0 at the output")
        ax.legend(fontsize=8)
        light_grid(ax)
    figure.savefig(folder / "depth.png", dpi=90)


def _has_skip(row) -> bool:
    return "skip" in row["network"] or "transformer" in row["network"]
