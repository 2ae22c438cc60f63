# %% [markdown]
# # A deep network, with and without skips
#
# [Open in Colab][colab] (there, first `%pip install vanishing-jax[notebooks]`)
#
# [colab]: https://colab.research.google.com/github/vanishing-jax/vanishing_jax/blob/main/notebooks/14_deep_residual_net.ipynb
#
# **What you will learn:** how gradients vanish through the depth of a network as they do through
# time, direction by direction even where their norm looks healthy; how to see it for any list of
# layers; what a skip connection does to the Jacobian of a layer; and that batch normalization,
# without skips, makes gradients explode.
#
# In a recurrence the same Jacobian, nearly, is multiplied again and again. In a deep network
# every layer has its own, $J_l = \partial x_l/\partial x_{l-1}$, and their product is as long as
# the network is deep. We take networks of 50 layers that classify handwritten digits from all 64
# pixels at once.

# %%
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from matplotlib import pyplot as plt

import vanishing_jax as vj

TOY = "VANISHING_JAX_TOY" in os.environ  # the tests run this page small
DEPTH, UPDATES, BATCH = (12, 2, 4) if TOY else (50, 300, 64)
WIDTH = 64

task = vj.tasks.digits()
pixels, labels = task.train_inputs[:, :, 0], task.train_targets
unseen_pixels, unseen_labels = task.test_inputs[:, :, 0], task.test_targets


def normalized(x):
    """Return x with mean 0 and variance 1 (layer normalization)."""
    return (x - x.mean()) / jnp.sqrt(x.var() + 1e-5)


class Plain(eqx.Module):
    """One layer, tanh(W x)."""

    weight: jax.Array

    def __call__(self, x):
        return jnp.tanh(self.weight @ x)


class Residual(eqx.Module):
    """One layer with a skip, x + tanh(W LN(x)) / sqrt(depth)."""

    weight: jax.Array

    def __call__(self, x):
        return x + jnp.tanh(self.weight @ normalized(x)) / np.sqrt(DEPTH)


def network(kind):
    """Return 50 layers of one kind with the same Glorot weights."""
    glorot = jax.nn.initializers.glorot_normal()
    return [kind(glorot(key, (WIDTH, WIDTH))) for key in jr.split(jr.key(0), DEPTH)]


# %% [markdown]
# ## Diagnose the plain network
#
# `diagnose_layers` takes a list of functions and a batch. Rates are per layer now.

# %%
x = pixels[: 4 if TOY else 32]
plain = vj.diagnose_layers(network(Plain), x, batched=True)
print(plain)

# %%
figure = plain.plot()

# %% [markdown]
# The verdict is *healthy*: Glorot weights keep the size of a typical gradient, and no layer takes
# much of it (the first takes most, where the pixels bend the tanh). But a norm is one number. Top
# right are all directions: of each change of the last activation that a loss might ask for, how
# much arrives at the first? A few directions carry everything; the others are lost, some by tens
# of decades. Bottom right, a skip and a layer normalization are measured on this network.
#
# ## Add the skip
#
# With a skip the Jacobian is $J_l = I + \partial f_l/\partial x$: near the identity, whatever
# $f_l$ does, so that the product stays near 1 in *every* direction and not only on average. (The
# branch is divided by $\sqrt{L}$, else the activations of $L$ layers would add up.) The spectra
# of both products:

# %%
residual = vj.diagnose_layers(network(Residual), x, batched=True)
for name, d in {"plain": plain, "with skips": residual}.items():
    kept = d.surviving_directions[DEPTH]
    print(
        f"{name:10} {d.verdict:10} {d.rate:+.4f} ± {d.rate_error:.4f} nats per layer; "
        f"{kept:.0f} of {WIDTH} directions left after {DEPTH} layers"
    )

kinds = {"plain": Plain, "with skips": Residual}
figure, ax = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
for (name, kind), marker in zip(kinds.items(), "os", strict=True):
    chain = vj.linearize_layers(network(kind), x[0])
    logs = vj.log_singular_values(chain).log_singular_values / np.log(10)
    ax.plot(np.arange(1, WIDTH + 1), logs, marker, markersize=4, label=name)
ax.axhline(0, color="gray", linewidth=1)
ax.set(
    xlabel="index $i$ (1 = largest)",
    ylabel=r"$\log_{10}\,\sigma_i$ of $J_L \cdots J_1$",
    title=f"All singular values after {DEPTH} layers",
)
ax.legend()

# %% [markdown]
# ## Does it matter? Train both
#
# The same weights to begin with, the same data, the same optimizer.


# %%
def scores(model, x):
    """Return ten scores of one image: the layers, then a linear readout."""
    layers, readout = model
    x, _ = jax.lax.scan(lambda x, layer: (layer(x), None), x, layers)
    return readout(x)


def loss(model, x, digits):
    """Return the mean cross-entropy."""
    return task.loss(jax.vmap(scores, (None, 0))(model, x), digits)


optimizer = optax.adam(1e-3)


@eqx.filter_jit
def update(model, state, key):
    """Return model, optimizer state and loss after one update."""
    at = jr.randint(key, (BATCH,), 0, len(pixels))
    value, gradient = eqx.filter_value_and_grad(loss)(model, pixels[at], labels[at])
    change, state = optimizer.update(gradient, state)
    return eqx.apply_updates(model, change), state, value


figure, ax = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
for (name, kind), style in zip(kinds.items(), ("-", "--"), strict=True):
    stacked = jax.tree.map(lambda *weights: jnp.stack(weights), *network(kind))
    model = (stacked, eqx.nn.Linear(WIDTH, 10, key=jr.key(1)))
    state, losses = optimizer.init(eqx.filter(model, eqx.is_array)), []
    for key in jr.split(jr.key(2), UPDATES):
        model, state, value = update(model, state, key)
        losses.append(float(value))
    ax.plot(losses, style, label=name)
    found = jax.vmap(scores, (None, 0))(model, unseen_pixels).argmax(1)
    accuracy = float((found == unseen_labels).mean())
    error = (accuracy * (1 - accuracy) / len(found)) ** 0.5
    print(f"{name:10} {accuracy:.1%} ± {error:.1%} of {len(found)} unseen digits")
ax.set(xlabel="updates", ylabel="cross-entropy (nats)", title="Training 50 layers", ylim=(0, None))
ax.legend()

# %% [markdown]
# The plain network learns something and stays far behind, with a gradient whose norm was never
# small. What it lacks is the other directions.
#
# ## And batch normalization?
#
# It is often named among the remedies. Here is a ReLU network with batch normalization before
# each activation, its He weights at the start. The samples of a batch act on each other, so the
# activation that travels through the layers is the whole batch. For wide layers and large batches
# theory knows the growth of the squared gradient: $\pi/(\pi - 1)$ per layer, with no other remedy
# than a skip.


# %%
class BatchNormalized(eqx.Module):
    """One layer on a batch (batch, features): relu(BN(x W)), with or without a skip around it."""

    weight: jax.Array
    skip: bool = eqx.field(static=True)

    def __call__(self, x):
        y = x @ self.weight
        y = jax.nn.relu((y - y.mean(axis=0)) / jnp.sqrt(y.var(axis=0) + 1e-5))
        return x + y / np.sqrt(DEPTH) if self.skip else y


batch = jr.normal(jr.key(3), (16 if TOY else 256, WIDTH))
he = jax.nn.initializers.he_normal()
for skip in (False, True):
    layers = [BatchNormalized(he(key, (WIDTH, WIDTH)), skip) for key in jr.split(jr.key(4), DEPTH)]
    d = vj.diagnose_layers(layers, batch)
    print(
        f"{'with' if skip else 'without'} skips: {d.verdict}; squared gradient times "
        f"{np.exp(2 * d.rate):.3f} per layer, {np.exp(d.rate * DEPTH):.1e} over {DEPTH}"
    )
print(f"theory, without skips: {np.pi / (np.pi - 1):.3f}")

# %% [markdown]
# The gradient explodes at about the predicted rate, although every activation in the forward pass
# is perfectly normalized. With skips the same normalization does no harm. So the remedy of depth
# is the skip; normalization makes it train well, but does not replace it.
#
# ## What to try
#
# - Your own network: a list of layers, each a function of the activation alone. Widths may
#   differ; a residual block is one layer.
# - `DEPTH = 10`: does the plain network train? At which depth does it stop?
# - Leave out the division by $\sqrt{L}$.
# - Orthogonal weights in the plain network: the mean is kept as before; the directions?
#
# ## References
#
# - X. Glorot, Y. Bengio: *Understanding the difficulty of training deep feedforward neural
#   networks*. AISTATS 2010.
# - K. He et al.: *Deep residual learning for image recognition*. CVPR 2016; *Identity mappings in
#   deep residual networks*. ECCV 2016.
# - G. Yang et al.: *A mean field theory of batch normalization*. ICLR 2019. Why it explodes.
# - J. Pennington, S. Schoenholz, S. Ganguli: *Resurrecting the sigmoid in deep learning through
#   dynamical isometry*. NeurIPS 2017. Why all directions matter.
