# %% [markdown]
# # Clipping, optimizers, and what they cannot do
#
# [Open in Colab][colab] (there, first `%pip install vanishing-jax[notebooks]`)
#
# [colab]: https://colab.research.google.com/github/vanishing-jax/vanishing_jax/blob/main/notebooks/06_clipping_and_optimizers.ipynb
#
# **What you will learn:** clipping and adaptive optimizers act on the *sum* of what all steps
# contribute to the gradient of the weights. They can scale that sum, or bend it, but not give
# back the part of it that has vanished. And where an optimizer stops rescaling.
#
# Two tanh networks read the same sequences: one with small recurrent weights, in which gradients
# vanish, one with large ones, in which they explode.

# %%
import os

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from matplotlib import pyplot as plt

import vanishing_jax as vj

TOY = "VANISHING_JAX_TOY" in os.environ  # the tests run this page small
STEPS, UNITS = (12, 64) if TOY else (60, 64)
inputs = 0.5 * jr.normal(jr.key(1), (STEPS, 1))


def network(deviation):
    """Return a tanh network with recurrent weights of this standard deviation, times sqrt(n)."""
    cell = vj.cells.VanillaCell(1, UNITS, key=jr.key(0))
    return vj.mitigations.normal(deviation / np.sqrt(UNITS)).transform_cell(cell, key=jr.key(2))


networks = {"vanishing": network(0.7), "exploding": network(2.0)}
state0 = networks["vanishing"].initial_state()


def loss(states):
    """Return the squared error of the mean unit at the last step, of a target of 1."""
    return (states[-1].mean() - 1) ** 2


# %% [markdown]
# ## The gradient as a sum
#
# We need each step's own term, not only its norm. Give every step a copy of the weights of its
# own, and differentiate by the copies: their gradients are the terms, and the gradient of the
# shared weights is their sum.


# %%
@jax.jit
def terms(cell):
    """Return the gradient of the recurrent weights, one matrix per step."""

    def loss_of(copies):
        def step(state, copy_and_input):
            weight, input = copy_and_input
            state = jnp.tanh(weight @ state + cell.weight_xh @ input + cell.bias)
            return state, state

        _, states = jax.lax.scan(step, state0, (copies, inputs))
        return loss(states)

    return jax.grad(loss_of)(jnp.stack([cell.weight_hh] * STEPS))


by_step = {name: np.asarray(terms(cell), float) for name, cell in networks.items()}
gradient = {name: parts.sum(axis=0) for name, parts in by_step.items()}
for name, cell in networks.items():
    profile = vj.gradient_profile(cell, state0, inputs, loss=loss)
    decades = float(profile.log_norm[0] - profile.log_norm[-1]) / np.log(10)
    print(f"{name}: norm of the gradient {np.linalg.norm(gradient[name]):.2e}, of the term of")
    print(f"  the last step {np.linalg.norm(by_step[name][-1]):.2e}, of the second ", end="")
    print(f"{np.linalg.norm(by_step[name][1]):.2e}; dL/dh changes by 10^{decades:+.1f}")

# %% [markdown]
# ## Clipping
#
# *By norm* multiplies the whole gradient by one number of at most 1. *By value* cuts each entry.
# The share of the first half of the steps is the part of the (clipped) gradient's direction that
# they account for, $\langle \sum_{t \le T/2} g_t,\ \tilde g\rangle / \langle \sum_t g_t,\ \tilde
# g\rangle$.


# %%
def share_of_early_steps(parts, direction):
    """Return how much of the gradient along `direction` the first half of the steps makes."""
    along = np.tensordot(parts, direction, 2)
    return along[: STEPS // 2].sum() / along.sum()


def cosine(a, b):
    """Return the cosine of the angle between two gradients."""
    return np.vdot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))


print(f"{'':12}{'clipping':22}{'norm':>12}{'cosine':>9}{'share of the first half':>26}")
for name, parts in by_step.items():
    whole = gradient[name]
    level = np.linalg.norm(whole) / 4  # so that clipping bites in both networks
    clips = {
        "none": optax.identity(),
        "by norm, at a quarter": optax.clip_by_global_norm(level),
        "by value, at norm / n": optax.clip(level / UNITS),
    }
    for kind, clip in clips.items():
        clipped = np.asarray(clip.update(jnp.asarray(whole), clip.init(jnp.asarray(whole)))[0])
        print(
            f"{name:12}{kind:22}{np.linalg.norm(clipped):12.2e}{cosine(whole, clipped):9.4f}"
            f"{share_of_early_steps(parts, clipped):26.2e}"
        )

# %% [markdown]
# No clipping makes any gradient larger. By norm the direction is the same and so, exactly, are
# the shares; by value the direction turns, yet in the vanishing network the early steps stay
# where they were, many decades down: what is not in the sum cannot be brought out of it. Against
# the *size* of an exploding gradient clipping helps. (Here it is the early steps that make up
# nearly all of that gradient.)
#
# ## Adaptive optimizers
#
# Adam divides by the size of the gradient, so that a tiny one moves the weights as much as a
# large one. That sounds like a cure. But the early part of the sum is divided by the same number
# as the late part.


# %%
def first_update(optimizer, g):
    """Return the first update that an optimizer makes of a gradient."""
    g = jnp.asarray(g)
    return np.asarray(optimizer.update(g, optimizer.init(g))[0], float)


optimizers = {"SGD": optax.sgd(1e-3), "RMSProp": optax.rmsprop(1e-3), "Adam": optax.adam(1e-3)}
parts, whole = by_step["vanishing"], gradient["vanishing"]
late = parts[STEPS // 2 :].sum(axis=0)
print(f"{'':8}{'update':>12}{'of a gradient / 1000':>24}{'without the first half':>26}")
for name, optimizer in optimizers.items():
    update, smaller = (first_update(optimizer, g) for g in (whole, whole / 1000))
    difference = np.linalg.norm(first_update(optimizer, late) - update) / np.linalg.norm(update)
    print(
        f"{name:8}{np.linalg.norm(update):12.2e}{np.linalg.norm(smaller):24.2e}"
        f"{f'changes by {difference:.0e}':>26}"
    )

# %% [markdown]
# The middle column: Adam hardly minds a factor of a thousand. (RMSProp, in this implementation,
# has its $\epsilon$ under the root, which a small gradient reaches sooner.) The last column:
# leave out the first half of the sequence altogether, and each makes nearly the same update.
# Adam's changes most, for it gives every entry the same size, also those in which the late steps
# happen to cancel; but a few entries of turned sign are not a memory.
#
# ## Where even the scaling ends
#
# Adam divides by $|g| + \epsilon$. A gradient that is everywhere far below $\epsilon = 10^{-8}$
# moves nothing; for a constant gradient the step is the learning rate times $|g|/(|g| +
# \epsilon)$.

# %%
sizes = 10.0 ** np.arange(-14, -2)
moved = [float(-first_update(optax.adam(1.0), np.float32(g))) for g in sizes]
figure, ax = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
ax.loglog(sizes, moved, "o", label="Adam, first update")
ax.loglog(sizes, sizes / (sizes + 1e-8), color="black", label=r"$|g|/(|g| + \epsilon)$")
ax.set(
    xlabel="gradient $|g|$", ylabel="update / learning rate", title="Adam stalls below its epsilon"
)
ax.legend()
worst = np.abs(np.array(moved) * (sizes + 1e-8) / sizes - 1).max()
print(f"largest relative difference from the formula: {worst:.0e}")

# %% [markdown]
# So neither is a remedy for vanishing gradients: these change the sum only after it has been
# taken. What helps acts before, on the Jacobians: gates, initialization, skips, normalization in
# the right place.
#
# ## What to try
#
# - Clipping *inside* back-propagation, at every step: `vj.mitigations.clip_state_gradient`. What
#   does it do to the shares of the exploding network?
# - `deviation` near 1.2: neither vanishing nor exploding. What are the shares?
# - By training: `vj.compare(["irnn", "irnn+clip", "tanh", "tanh+clip"], "adding", length=50,
#   seeds=4, num_updates=2000)`.
#
# ## References
#
# - R. Pascanu, T. Mikolov, Y. Bengio: *On the difficulty of training recurrent neural networks*.
#   ICML
#   2013. Clipping by norm.
# - T. Mikolov: *Statistical language models based on neural networks*. PhD thesis, Brno, 2012.
#   Clipping by value.
# - D. Kingma, J. Ba: *Adam: a method for stochastic optimization*. ICLR 2015.
