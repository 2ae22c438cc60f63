"""The page about depth and its figure, from what the study stored."""

from typing import Any

import numpy as np
from _tables import provenance, table
from matplotlib.figure import Figure

from vanishing_jax.plots._style import COLORS, LINE_STYLES, light_grid

HEAD = """<!-- Written by benchmarks/make_readme.py. Edit studies/depth/page.py, not this one. -->
# Gradients through depth

What depth does to the gradient in plain, normalized and residual networks at initialization, layer
by layer, by `vj.diagnostics.layer_gradient_profile`; the guide on
[depth](../docs/guides/depth.md) explains how to measure one's own network."""

TOY = "**Toy sizes (`--quick`): nothing on this page says anything.**"

COLUMNS = """The growth is that of the squared gradient per layer on its way back, over the middle
of the network, mean ± standard error over seeds; 1 is a gradient that neither vanishes nor
explodes. Near the input and near the output it is that of the median seed in either half: a growth
that falls with the layers before it is a power of depth, not an exponential. The horizon is the
number of layers that change the gradient's norm (not its square) by a factor of 1000 at this
growth. The last column is the norm at the input over that at the output. Laws are those of infinite
width, and for batch norm of infinite batch: at this batch its growth is larger, see below."""

METHOD = """## How it was measured

`python benchmarks/study.py depth` repeats it; `--quick` tries it in seconds at sizes that say
nothing. Each seed draws all weights, the input (standard normal) and the loss, a random linear
function of the output. Weights are normal with variance 2/n (He) for ReLU, 1/n (Glorot) where named
and for tanh and linear layers; no biases; norms without trained scale and shift, batch statistics
over the batch given. Without a skip a layer is phi(norm(x W)); with one x + phi(norm(x)) W (norm
before) or norm(x + phi(x W)) (norm after), and x + phi(x W) without norm. The transformer block is
pre-norm: x + attention(LN(x)), then x + W gelu(V LN(x)), on tokens. float32; the gradient carries
its exponent apart, so none underflows. A z is the distance of the measured log growth from the law
in standard errors."""


def page(result: dict[str, Any]) -> str:
    """Return the page."""
    settings = result["settings"]
    sizes = "{depth} layers of width {width}, batch {batch}, {seeds} seeds".format(**settings)
    sizes += f" (transformer: width {settings['width'] // 4}, {settings['batch'] // 2} tokens)."
    parts = [HEAD, TOY if settings["quick"] else "", "## Every network", f"{sizes}\n\n{COLUMNS}"]
    parts += [_networks(result["rows"]), "![Gradient norm against the layer](figures/depth.png)"]
    parts += [_findings({row["network"]: row for row in result["rows"]})]
    if result["limit"]:
        parts += ["## ReLU with batch normalization", _limit(result["limit"])]
    parts += [METHOD, provenance(result)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _networks(rows) -> str:
    headings = ["network", "growth", "law", "z", "near the input", "near the output", "horizon"]
    body = []
    for row in rows:
        near = [f"{factor:.3f}" for factor in halves(row)]
        law = [f"{row['law']:.4f}", f"{row['z']:+.1f}"] if "law" in row else ["–", "–"]
        decades = f"10^{row['log10_end_to_end']:+.1f}"
        body.append([row["network"], _growth(row), *law, *near, _horizon(row["nats"]), decades])
    return table([*headings, "input/output"], body)


def _growth(row) -> str:
    error = row["factor"] * row["nats_error"]
    return f"{row['factor']:.4f} ± {error:.4f}"


def _horizon(nats: float) -> str:
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


def _findings(rows) -> str:
    """Return in words what the rows of the article's "deep architecture" say, where there are."""
    lines = []
    if {"tanh, Glorot", "ReLU, He"} <= rows.keys():
        glorot, he = rows["tanh, Glorot"], rows["ReLU, He"]
        lines.append(
            "- *Deeper is worse* holds per layer, at a rate that the initialization sets: "
            f"{glorot['factor']:.3f} for tanh with Glorot's, {he['factor']:.3f} for ReLU with He's."
        )
    if {"ReLU, batch norm", "ReLU, batch norm, skip"} <= rows.keys():
        plain, skip = rows["ReLU, batch norm"], rows["ReLU, batch norm, skip"]
        lines.append(
            f"- Batch normalization alone makes gradients explode, {plain['factor']:.3f} per layer"
            f"{_against(plain)}; around it a skip leaves {skip['factor']:.3f}, "
            f"{halves(skip)[1]:.3f} near the output: the larger the stream that the layers before "
            "have summed up, the less one more layer changes."
        )
    if {"ReLU, layer norm before, skip", "ReLU, layer norm after, skip"} <= rows.keys():
        before, after = (rows[f"ReLU, layer norm {x}, skip"] for x in ("before", "after"))
        lines.append(
            f"- Where the norm stands counts: {before['factor']:.3f} per layer before the branch, "
            f"{after['factor']:.3f} after the sum, where every layer divides the stream again."
        )
    if "transformer, pre-norm" in rows:
        row = rows["transformer, pre-norm"]
        lines.append(
            f"- The pre-norm transformer: {row['factor']:.3f} per block, {halves(row)[0]:.3f} near "
            f"the input, {halves(row)[1]:.3f} near the output."
        )
    return "\n".join(lines)


def _against(row) -> str:
    return f" (law {row['law']:.3f})" if "law" in row else ""


def _limit(rows) -> str:
    law = rows[0]["law"]
    text = f"""At infinite width, and then infinite batch, the squared gradient grows by
π/(π − 1) = {law:.4f} per layer (Yang, Pennington, Rao, Sohl-Dickstein and Schoenholz, 2019, *A mean
field theory of batch normalization*): there the samples are orthogonal once they are centered,
which takes many more features than samples. The limit is c of c + a/batch + b batch/width, fitted
to the logs of the growth where width ≥ 4 batch, weighted by their errors; the last size has as many
samples as features and is no part of it."""
    body = []
    for row in rows:
        name = "limit" if row["width"] == "inf" else f"{row['width']} × {row['batch']}"
        chi2 = f"; χ²/degree {row['chi2_per_degree']:.1f}" if "chi2_per_degree" in row else ""
        body.append([name, _growth(row), f"{law:.4f}", f"{row['z']:+.1f}{chi2}"])
    return f"{text}\n\n{table(['width × batch', 'growth', 'law', 'z'], body)}"


def draw(result, folder) -> None:
    """Median and quartiles over seeds of the gradient norm at every layer, networks in two panels.

    Left what has no skip, right what has one.
    """
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    panels = figure.subplots(1, 2)
    split = (
        [row for row in result["rows"] if not _has_skip(row)],
        [row for row in result["rows"] if _has_skip(row)],
    )
    for ax, rows, title in zip(panels, split, ("without skips", "with skips"), strict=True):
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
