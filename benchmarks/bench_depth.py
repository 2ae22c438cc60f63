"""How gradients change with depth in deep networks at initialization, and which remedy helps.

Log gradient norm at every layer of plain, normalized and residual networks, over several seeds, and
its growth per layer, held against laws where there are any.

python benchmarks/bench_depth.py            # a minute or two on one core
"""

import argparse
import sys
import time
from typing import Any

import _timing

if __name__ == "__main__":  # imported by the tests, it leaves the process as it is
    _timing.use_one_core()

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from _depth import NETWORKS, RELU_BATCH_NORM, Network

import vanishing_jax as vj


def profile(network: Network, *, width: int, batch: int, depth: int, key) -> np.ndarray:
    """Return log ||dL/dx_l||, l = 0..depth, for a random linear loss and one draw of everything."""
    key_x, key_loss, *keys = jr.split(key, depth + 2)
    layers = [network.draw(k, width) for k in keys]
    x = jr.normal(key_x, (batch, width), jnp.float32)
    direction = jr.normal(key_loss, (batch, width), jnp.float32)
    found = vj.diagnostics.layer_gradient_profile(
        lambda y: jnp.sum(y * direction) / jnp.sqrt(jnp.float32(batch * width)), layers, x
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


def measure(network: Network, *, width, batch, depth, seeds, key) -> dict[str, Any]:
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
    """Return the growth of ReLU with batch norm for width = batch = N, and at 1/N = 0.

    The law is one of infinite width and batch. A line in 1/N through the sizes, weighted by their
    errors, has its value at 0 there.
    """
    network = next(one for one in NETWORKS if one.name == "ReLU, batch norm")
    rows = []
    for size in sizes:
        row = measure(network, width=size, batch=size, depth=depth, seeds=seeds, key=key)
        rows.append({name: x for name, x in row.items() if name != "log10_profile"})
    inverse = 1 / np.array(sizes, float)
    nats, error = (np.array([row[name] for row in rows]) for name in ("nats", "nats_error"))
    if len(sizes) > 2:
        A = np.stack([np.ones_like(inverse), inverse], axis=1) / error[:, None]
        covariance = np.linalg.inv(A.T @ A)
        value = (covariance @ A.T @ (nats / error))[0]
        spread = float(np.sqrt(covariance[0, 0]))
        residual = A @ (covariance @ A.T @ (nats / error)) - nats / error
        rows.append(
            {
                "network": network.name,
                "width": "inf",
                "batch": "inf",
                "nats": float(value),
                "nats_error": spread,
                "factor": float(np.exp(value)),
                "law": RELU_BATCH_NORM,
                "z": float((value - np.log(RELU_BATCH_NORM)) / spread),
                "chi2_per_degree": float(np.sum(residual**2) / (len(sizes) - 2)),
            }
        )
    return rows


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    _timing.add_arguments(parser, "depth")
    parser.add_argument("--depth", type=int, default=32, help="layers")
    parser.add_argument("--width", type=int, default=192, help="features of every layer")
    parser.add_argument("--batch", type=int, default=192, help="samples; tokens: an eighth")
    parser.add_argument("--seeds", type=int, default=6, help="networks drawn of each kind")
    parser.add_argument("--sizes", default="96,128,192,256,384,512", help="width = batch; empty: none")
    parser.add_argument("--only", default="", help="names of networks, separated by ;")
    options = parser.parse_args(arguments)
    if options.quick:
        options.depth, options.width, options.batch, options.seeds = 10, 16, 16, 3
        options.sizes = "8,12,16"
    begin = time.perf_counter()
    sizes = [int(size) for size in options.sizes.split(",") if size]
    only = options.only.split(";") if options.only else [network.name for network in NETWORKS]
    rows = []
    for index, network in enumerate(NETWORKS):
        if network.name not in only:
            continue
        width, batch = options.width, options.batch
        if network.tokens:
            width, batch = max(8, width // 4), max(4, batch // 8)
        rows.append(
            measure(
                network,
                width=width,
                batch=batch,
                depth=options.depth,
                seeds=options.seeds,
                key=jr.fold_in(jr.key(0), index),
            )
        )
        print(f"{network.name}: {rows[-1]['factor']:.4f} per layer", file=sys.stderr, flush=True)
    limit = toward_the_limit(sizes, depth=options.depth, seeds=options.seeds, key=jr.key(1))
    settings = {
        "wall_seconds": time.perf_counter() - begin,
        **{name: getattr(options, name) for name in ("depth", "width", "batch", "seeds", "sizes")},
        "quick": options.quick,
        "dtype": str(jnp.float32.dtype),
        "device": jax.devices()[0].platform,
    }
    _timing.write(options.out, "depth", settings, rows=rows, limit=limit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
