"""How gradients change with depth in deep networks at initialization, and which remedy helps.

Log gradient norm at every layer of plain, normalized and residual networks, over several seeds, and
its growth per layer, held against laws where there are any.

python benchmarks/study.py depth            # a minute or two on one core
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from _main import Benchmark, progress
from studies.depth.networks import NETWORKS, RELU_BATCH_NORM, Network

import vanishing_jax as vj

# Width x batch; the last is no part of the limit, for it has as many samples as features.
SIZES = "256x32,512x32,256x64,512x64,1024x64,384x96,768x96,256x256"


def profile(network: Network, *, width: int, batch: int, depth: int, key) -> np.ndarray:
    """Return log ||dL/dx_l||, l = 0..depth, for a random linear loss and one draw of everything."""
    key_x, key_loss, *keys = jr.split(key, depth + 2)
    layers = [network.draw(k, width) for k in keys]
    x = jr.normal(key_x, (batch, width), jnp.float32)
    direction = jr.normal(key_loss, (batch, width), jnp.float32)
    found = vj.diagnostics.layer_gradient_profile(
        layers, x, loss=lambda y: jnp.sum(y * direction) / jnp.sqrt(jnp.float32(batch * width))
    )
    return np.asarray(found.log_norm, np.float64)


def growth(profiles: np.ndarray) -> dict[str, float]:
    """Return the growth of the squared gradient per layer toward the input, with its error.

    The slope over the middle of the network: the first layers (an input unlike the activations) and
    the last (a loss unlike a layer) are transients. Seeds are independent, layers are not.
    """
    depth = profiles.shape[1] - 1
    first, last = depth // 4, depth - max(1, depth // 8)
    slopes = 2 * (profiles[:, first] - profiles[:, last]) / (last - first)
    return {
        "nats": float(np.mean(slopes)),
        "nats_error": float(np.std(slopes, ddof=1) / np.sqrt(len(slopes))),
        "factor": float(np.exp(np.mean(slopes))),
        "first": first,
        "last": last,
    }


def row_of(network: Network, *, width, batch, depth, seeds, key) -> dict[str, Any]:
    """Return the row of one network: profiles' quartiles, growth, and the distance to its law."""
    profiles = np.stack(
        [
            profile(network, width=width, batch=batch, depth=depth, key=jr.fold_in(key, seed))
            for seed in range(seeds)
        ]
    )
    relative = (profiles - profiles[:, -1:]) / np.log(10)
    found = growth(profiles)
    row = {
        "network": network.name,
        "width": width,
        "batch": batch,
        "depth": depth,
        "seeds": seeds,
        **found,
        "log10_end_to_end": float(np.median(relative[:, 0])),
        "log10_profile": np.round(np.quantile(relative, [0.25, 0.5, 0.75], axis=0), 4).tolist(),
    }
    if network.law is not None:
        row["law"] = network.law
        row["z"] = (found["nats"] - np.log(network.law)) / found["nats_error"]
    return row


def toward_the_limit(sizes, *, depth, seeds, key) -> list[dict[str, Any]]:
    """Return the growth of ReLU with batch norm at each (width, batch), and in the limit.

    The law is that of infinite width first and then infinite batch: the samples are orthogonal
    after centering, which takes many more features than samples. The limit is the constant of
    c + a / batch + b batch / width through the sizes with width >= 4 batch, weighted by their
    errors.
    """
    network, rows = next(one for one in NETWORKS if one.name == "ReLU, batch norm"), []
    for width, batch in sizes:
        row = row_of(network, width=width, batch=batch, depth=depth, seeds=seeds, key=key)
        rows.append({name: x for name, x in row.items() if name != "log10_profile"})
        progress(f"{width} x {batch}: {row['factor']:.4f}")
    wide = [row for row in rows if row["width"] >= 4 * row["batch"]]
    if len(wide) > 3:
        width, batch, nats, error = (
            np.array([row[name] for row in wide], float)
            for name in ("width", "batch", "nats", "nats_error")
        )
        value, spread, chi2 = at_zero([1 / batch, batch / width], nats, error)
        limit = {"network": network.name, "width": "inf", "batch": "inf", "nats": value}
        limit |= {"nats_error": spread, "factor": float(np.exp(value)), "law": RELU_BATCH_NORM}
        limit |= {"z": (value - np.log(RELU_BATCH_NORM)) / spread, "chi2_per_degree": chi2}
        rows.append(limit)
    return rows


def at_zero(columns, y, error) -> tuple[float, float, float]:
    """Return the constant of a weighted linear fit, its error, and chi^2 per degree of freedom."""
    A = np.stack([np.ones_like(y), *columns], axis=1) / error[:, None]
    covariance = np.linalg.inv(A.T @ A)
    found = covariance @ A.T @ (y / error)
    chi2 = np.sum((A @ found - y / error) ** 2) / (len(y) - A.shape[1])
    return float(found[0]), float(np.sqrt(covariance[0, 0])), float(chi2)


QUICK = {"depth": 10, "width": 16, "batch": 16, "seeds": 3, "sizes": "8x2,16x2,16x4,24x6"}


def add_options(parser) -> None:
    parser.add_argument("--depth", type=int, default=32, help="layers")
    parser.add_argument("--width", type=int, default=256, help="features of every layer")
    parser.add_argument("--batch", type=int, default=64, help="samples; half as many tokens")
    parser.add_argument("--seeds", type=int, default=6, help="networks drawn of each kind")
    parser.add_argument("--sizes", default=SIZES, help="width x batch of the limit; empty: none")
    parser.add_argument("--only", default="", help="names of networks, separated by ;")


def measure(options) -> Iterator[dict[str, Any]]:
    """Give everything in the end."""
    sizes = [tuple(map(int, size.split("x"))) for size in options.sizes.split(",") if size]
    only = options.only.split(";") if options.only else [network.name for network in NETWORKS]
    many = {"depth": options.depth, "seeds": options.seeds}
    rows = []
    for index, network in enumerate(NETWORKS):
        if network.name not in only:
            continue
        width, batch = options.width, options.batch
        if network.tokens:
            width, batch = max(8, width // 4), max(4, batch // 2)
        key = jr.fold_in(jr.key(0), index)
        rows.append(row_of(network, width=width, batch=batch, key=key, **many))
        progress(f"{network.name}: {rows[-1]['factor']:.4f} per layer")
    limit = toward_the_limit(sizes, key=jr.key(1), **many)
    where = {"dtype": str(jnp.float32.dtype), "device": jax.devices()[0].platform}
    yield {"rows": rows, "limit": limit, "settings": where}


BENCHMARK = Benchmark("depth", __doc__, measure, add_options, QUICK)
