"""The axis of seeds over several devices."""

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from .._types import PyTree

SEEDS = "seed"


def mesh_over(count: int) -> Mesh | None:
    """Return the devices that `count` seeds are divided among, or None for a single one."""
    devices = jax.local_devices()[:count]
    if len(devices) < 2:
        return None
    return jax.make_mesh((len(devices),), (SEEDS,), axis_types=(AxisType.Auto,), devices=devices)


def spread(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Return arrays with a leading axis over seeds as arrays over the devices.

    It is filled up with copies of the last seed to a multiple of their number: that takes no
    longer, because another device has as many seeds anyway.
    """
    if mesh is None:
        return jax.tree.map(jnp.asarray, tree)

    def one(leaf):
        leaf = jnp.asarray(leaf)
        missing = -leaf.shape[0] % mesh.size
        if missing:
            last = jnp.broadcast_to(leaf[-1:], (missing, *leaf.shape[1:]))
            leaf = jnp.concatenate([leaf, last])
        return jax.device_put(leaf, NamedSharding(mesh, PartitionSpec(SEEDS)))

    return jax.tree.map(one, tree)


def gathered(tree: PyTree, count: int, mesh: Mesh | None) -> PyTree:
    """Return the arrays of the `count` seeds on the first device."""
    if mesh is None:
        return tree
    first = mesh.devices.flat[0]
    return jax.tree.map(lambda leaf: jax.device_put(leaf, first)[:count], tree)
