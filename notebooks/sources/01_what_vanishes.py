# %% [markdown]
# # What vanishes?
#
# [Open in Colab][colab] (there, first `%pip install vanishing-jax[notebooks]`)
#
# [colab]: https://colab.research.google.com/github/vanishing-jax/vanishing_jax/blob/main/notebooks/01_what_vanishes.ipynb
#
# **What you will learn:** what exactly becomes small when "gradients vanish", on one small
# network and one page. It is not the gradient of the loss with respect to the weights. It is what
# *early steps* contribute to it.
#
# The network: 64 tanh units with Glorot weights, which read 100 random numbers. The loss: the mean
# square of the units after the last one.

# %%
import os

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from matplotlib import pyplot as plt

import vanishing_jax as vj

TOY = "VANISHING_JAX_TOY" in os.environ  # the tests run this page small
STEPS, UNITS = 12 if TOY else 100, 64

cell = vj.cells.VanillaCell(1, UNITS, key=jr.key(0))
state0 = cell.initial_state()
inputs = 4 * jr.normal(jr.key(1), (STEPS, 1))


def loss(states):
    """Return the mean square of the last state."""
    return (states[-1] ** 2).mean()


# %% [markdown]
# ## The gradient of the weights is fine
#
# This is all that an optimizer sees, and nothing is wrong with it:


# %%
def loss_of(cell):
    """Return the loss as a function of the weights."""
    return loss(vj.rollout(cell, state0, inputs).states)


gradient = jax.grad(loss_of)(cell)
whole = float(jnp.linalg.norm(gradient.weight_hh))
print(f"norm of the gradient of the recurrent weights: {whole:.4f}")
print(f"norm of the recurrent weights:                 {jnp.linalg.norm(cell.weight_hh):.4f}")

# %% [markdown]
# ## What its parts are
#
# The weights are used at every step, so their gradient is a sum, one term per step.
# Back-propagation carries $\partial L/\partial h_t$ from the last state to the first, and each
# step adds its own term on the way. `gradient_profile` returns the norms of both, as logarithms.

# %%
profile = vj.gradient_profile(cell, state0, inputs, loss=loss)
axes = vj.plots.plot_gradient_profile(profile)

# %%
decades = np.asarray(profile.log_norm) / np.log(10)
terms = np.exp(np.asarray(profile.log_parameter_norm))
print(f"dL/dh at the last state:  10^{decades[-1]:.1f}")
print(f"dL/dh at the first state: 10^{decades[0]:.1f}")
share = np.cumsum(terms[::-1]) / terms.sum()
for part in (0.5, 0.9, 0.99):
    print(
        f"the last {np.argmax(share >= part) + 1} steps make up {part:.0%} of all terms (by norm)"
    )

# %% [markdown]
# That is what vanishes. The sum is dominated by the last few steps. The first ones add numbers
# that are far below the rounding of the sum: the weights learn, but nothing about how the
# beginning of the sequence bears on its end.
#
# ## Check it the other way round
#
# If that is so, changing the first input must not change the last state, and by as many decades.
# Forward and backward pass multiply the same Jacobians.


# %%
def last_state(first_input, start):
    """Return h_T as a function of one input."""
    changed = inputs.at[start].set(first_input)
    return vj.rollout(cell, state0, changed).states[-1]


starts = np.unique(np.linspace(0, STEPS - 1, 3 if TOY else 16).astype(int))
sensitivity = [
    float(jnp.linalg.norm(jax.jacobian(last_state)(inputs[s], jnp.asarray(s)))) for s in starts
]
figure, ax = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
ax.plot(starts, np.log10(sensitivity), "o-", label=r"forward: $\|\partial h_T/\partial x_t\|$")
shift = np.log10(sensitivity[-1]) - decades[starts[-1] + 1]
ax.plot(
    np.arange(STEPS + 1), decades + shift, "--", label=r"backward: $\|\partial L/\partial h_t\|$"
)
ax.set(
    xlabel="time $t$ (steps)",
    ylabel=r"$\log_{10}$, shifted to meet",
    title="The network forgets as fast as its gradient vanishes",
)
ax.legend()
forward = np.polyfit(starts, np.log(sensitivity), 1)[0]
backward = np.polyfit(starts, np.asarray(profile.log_norm)[starts + 1], 1)[0]
print(f"slopes: forward {forward:.3f}, backward {backward:.3f} nats per step")

# %% [markdown]
# The two slopes are one and the same rate, that of the product of Jacobians. Hence one measures
# it once, on the Jacobians themselves: `vj.diagnose` gives the rate, how far it reaches, and what
# would change it.
#
# ## What to try
#
# - Another activation: `VanillaCell(1, 64, activation="sigmoid", key=...)`. How many steps count
#   now?
# - Larger recurrent weights: at some scale the slope turns, and the first steps dominate instead.
# - A loss at every step, `(states**2).mean()`: is the gradient at the first state still small?
#   Does that mean that long dependencies are learned?
# - Next: [a PyTorch LSTM that does not learn](11_pytorch_lstm.ipynb), and what made it learn.
#
# ## References
#
# - S. Hochreiter: *Untersuchungen zu dynamischen neuronalen Netzen*. Diploma thesis, TU München,
#   1991.
# - Y. Bengio, P. Simard, P. Frasconi: *Learning long-term dependencies with gradient descent is
#   difficult*. IEEE Transactions on Neural Networks 5(2), 1994.
# - R. Pascanu, T. Mikolov, Y. Bengio: *On the difficulty of training recurrent neural networks*.
#   ICML 2013.
