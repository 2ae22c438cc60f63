"""A task and a model as small as can be, trained by one program that tests share."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from vanishing_jax.cells import VanillaCell
from vanishing_jax.tasks import AbstractTask
from vanishing_jax.training import SequenceModel, train


class FirstSign(AbstractTask):
    """Recall the sign of the first of three inputs: the smallest task that needs memory."""

    name: str = "first sign"
    metric_name: str = "accuracy"
    input_size: int = 1
    output_size: int = 1
    length: int = 3
    every_step: bool = False
    baseline: float = float(np.log(2))

    def sample(self, key, batch_size):
        inputs = jr.normal(key, (batch_size, 3, 1))
        return inputs, jnp.sign(inputs[:, 0, 0])

    def loss(self, outputs, targets):
        return jnp.mean(jnp.log1p(jnp.exp(-outputs[:, 0] * targets)))

    def metric(self, outputs, targets):
        return jnp.mean((outputs[:, 0] * targets > 0).astype(outputs.dtype))


def small_model(cell_class=VanillaCell):
    key_cell, key_readout = jr.split(jr.key(0))
    return SequenceModel(cell_class(1, 4, key=key_cell), 1, key=key_readout)


def run(model, task=None, **changes):
    settings = dict(steps=6, batch_size=4, record_every=2, progress=False, key=jr.key(5))
    return train(model, FirstSign() if task is None else task, **{**settings, **changes})
