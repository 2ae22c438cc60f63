"""What a comparison was asked for, as text: a folder of results belongs to one such text."""

import dataclasses

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._hashing import fingerprint
from .._types import Key
from ..tasks import AbstractTask


def describe_task(task: AbstractTask) -> dict[str, str]:
    """Return the fields of a task as text; arrays by a hash of what they hold."""
    fields = {
        f"task {f.name}": fingerprint(getattr(task, f.name)) for f in dataclasses.fields(task)
    }
    return {"task": type(task).__name__, **fields}


def describe_key(key: Key) -> str:
    """Return a key as text."""
    data = np.asarray(jr.key_data(key)).ravel().tolist()
    return f"{jr.key_impl(key)} {' '.join(map(str, data))}"


def describe_precision() -> str:
    """Return the floating type in which JAX computes."""
    return str(jnp.result_type(float))
