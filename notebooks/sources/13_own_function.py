# %% [markdown]
# # A recurrence of your own
#
# [Open in Colab][colab] (there, first `%pip install vanishing-jax[notebooks]`)
#
# [colab]: https://colab.research.google.com/github/vanishing-jax/vanishing_jax/blob/main/notebooks/13_own_function.ipynb
#
# **What you will learn:** how to analyze a recurrence that no library knows, written as a plain
# function: run it, take its exact Jacobians, read the spectrum of their product and the Lyapunov
# exponents, and let `diagnose` say what limits it. At the end the model gets a second variable,
# and we measure what that does.
#
# The model comes from neuroscience: firing rates $\tanh v_i$ of neurons with voltages $v_i$,
# coupled at random with gain $g$ and driven by one noisy input,
#
# $$v_{t} = v_{t-1} + \delta\,(g W \tanh v_{t-1} + u\,x_t - v_{t-1}).$$

# %%
import os

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from matplotlib import pyplot as plt

import vanishing_jax as vj

TOY = "VANISHING_JAX_TOY" in os.environ  # the tests run this page small
STEPS, SEQUENCES = (12, 4) if TOY else (300, 16)
NEURONS, DELTA = 64, 0.25

key_W, key_u, key_x = jr.split(jr.key(0), 3)
W = jr.normal(key_W, (NEURONS, NEURONS)) / np.sqrt(NEURONS)
u = jr.normal(key_u, (NEURONS, 1))
inputs = jr.normal(key_x, (SEQUENCES, STEPS, 1))


def rate_network(params, voltage, input):
    """Return the voltages one step later."""
    drive = params["recurrent"] @ jnp.tanh(voltage) + params["input"] @ input
    return voltage + DELTA * (drive - voltage)


def with_gain(gain):
    """Return the network as a cell: a function and its parameters."""
    return vj.FunctionCell(rate_network, {"recurrent": gain * W, "input": u})


# %% [markdown]
# ## Piece by piece
#
# `rollout` runs the function over a sequence, `linearize` takes its exact Jacobian $J_t =
# \partial v_t/\partial v_{t-1}$ at each state it passed through. From there on no function here
# knows where the Jacobians came from.

# %%
state0 = jnp.zeros(NEURONS)
cell = with_gain(0.5)
trajectory = vj.rollout(cell, state0, inputs[0])
chain = vj.linearize(cell, trajectory)
spectrum = vj.log_singular_values(chain)
exponents = vj.lyapunov_exponents(chain)
print(trajectory)
print(chain)
decades = spectrum.log_singular_values / np.log(10)
print(f"largest singular value of the product:  10^{decades[0]:.1f}")
print(f"smallest singular value of the product: 10^{decades[-1]:.1f}")
print(f"largest Lyapunov exponent:              {exponents.exponents[0]:.4f} per step")
print(f"smallest Lyapunov exponent:             {exponents.exponents[-1]:.4f} per step")

# %% [markdown]
# The product of all Jacobians maps a change of the first state to the change of the last. Its
# largest singular value is the best that any direction can do, and even that is next to nothing.
# The smallest has no floating number at all in single precision; the logarithm is computed
# without ever forming the product.
#
# ## Turn up the gain?
#
# A stronger coupling pushes back what leaks away. The largest Lyapunov exponent says how far that
# carries: below 0 the network forgets, above 0 it is chaotic, and a gradient explodes.

# %%
gains = np.array([0.5, 1.5] if TOY else [0.5, 1.0, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0])
top, error = [], []
for gain in gains:
    states = vj.rollout(with_gain(gain), state0, inputs[0])
    found = vj.lyapunov_exponents(vj.linearize(with_gain(gain), states))
    top.append(found.exponents[0])
    error.append(found.standard_error[0])

figure, ax = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
ax.errorbar(gains, top, error, marker="o", capsize=3)
ax.axhline(0, color="gray", linewidth=1)
ax.set(xlabel="gain $g$", ylabel="top exponent (nats per step)", title="From forgetting to chaos")

# %% [markdown]
# There is one gain at which the line crosses 0, and it must be met closely: at a distance
# $\lambda$ from 0 the gradient changes by $e$ in $1/|\lambda|$ steps. (Without the noisy input
# the crossing would lie at $g = 1$: input quenches chaos, and there is more to vanish.) A memory
# that needs such a fine tuning is lost with the next update of the weights.
#
# ## Ask what limits it
#
# `diagnose` carries the gradient of a loss, here of the voltages at the last step, back through
# all steps, over all sequences, and repeats that after each change that makes sense for a plain
# function. A function does not say which of its arrays are recurrent weights, so changes of those
# are left out, and it says so.


# %%
def read(voltage):
    """Return a loss of the voltages, batch and time first."""
    return (voltage[:, -1].mean(axis=-1) ** 2).mean()


plain = vj.diagnose(cell, inputs, state0=state0, loss=read)
print(plain)
for name, reason in plain.skipped.items():
    print(f"not tried: {name} ({reason})")

# %% [markdown]
# ## Give it a slow variable
#
# Among the remedies is the *leaky skip*, slower states. Real neurons have something like it:
# after a burst they tire, and recover slowly. This *adaptation* $a$ is a second, slow variable,
#
# $$v_t = v_{t-1} + \delta\,(g W \tanh v_{t-1} + u\,x_t - v_{t-1} - a_{t-1}), \qquad
# a_t = a_{t-1} + \epsilon\,(\beta v_{t-1} - a_{t-1}).$$
#
# The state becomes a dictionary. The loss reads the voltages alone, as before.

# %%
EPSILON, BETA = 0.01, 2.0


def adapting_network(params, state, input):
    """Return voltages and adaptation one step later."""
    v, a = state["voltage"], state["adaptation"]
    drive = params["recurrent"] @ jnp.tanh(v) + params["input"] @ input
    return {
        "voltage": v + DELTA * (drive - v - a),
        "adaptation": a + EPSILON * (BETA * v - a),
    }


# Half the neurons, for the same size of the state.
half = NEURONS // 2
fewer = {"recurrent": 0.5 * np.sqrt(2.0) * W[:half, :half], "input": u[:half]}
slow_cell = vj.FunctionCell(adapting_network, fewer)
slow_state0 = {"voltage": jnp.zeros(half), "adaptation": jnp.zeros(half)}


slow = vj.diagnose(slow_cell, inputs, state0=slow_state0, loss=lambda s: read(s["voltage"]))
for name, d in {"voltages alone": plain, "with adaptation": slow}.items():
    print(
        f"{name:16} {d.verdict:12} rate {d.rate:+.4f} ± {d.rate_error:.4f}, horizon {d.horizon:.0f}"
    )
axes = vj.plots.plot_gradient_by_lag({"voltages alone": plain, "with adaptation": slow})

# %% [markdown]
# The rate is a fraction of what it was, and the horizon several times as long, though the verdict
# stays: 300 steps are more than this memory covers. Which way does it go? The state is a
# dictionary, so the Jacobian of the whole sequence has four named blocks.

# %%
slow_chain = vj.linearize(slow_cell, vj.rollout(slow_cell, slow_state0, inputs[0]))
blocks = slow_chain.blocks
lags = np.arange(1, STEPS + 1)
names = {"voltage": "v", "adaptation": "a"}
product, norms = np.eye(NEURONS), {(new, old): [] for new in blocks for old in blocks}
for t in lags:  # short and far from underflow: a plain product will do
    product = np.asarray(slow_chain.jacobian(t), float) @ product
    for (new, old), values in norms.items():
        values.append(np.linalg.norm(product[blocks[new], blocks[old]], 2))

figure, ax = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
for ((new, old), values), style in zip(norms.items(), ("-", "--", ":", "-."), strict=True):
    ax.semilogy(lags, values, style, linewidth=2, label=f"{names[new]} from {names[old]}")
ax.set(xlabel="steps between", ylabel="spectral norm of the block", title="Which way memory goes")
ax.legend()
print(f"adaptation left alone decays by          {np.log(1 - EPSILON):.4f} nats per step")
print(f"with voltages that follow it, v = -a, by {np.log(1 - EPSILON * (1 + BETA)):.4f}")
print(
    f"measured, top exponent:                  {vj.lyapunov_exponents(slow_chain).exponents[0]:.4f}"
)

# %% [markdown]
# What starts in the voltages and is to arrive in the voltages ("v from v") falls first, as it did
# without adaptation. Then it comes back: it had entered the adaptation. From there on all four
# blocks fall at one slow rate, and "v from v" lies lowest, for it has paid both to get in and to
# get out. The rate is not quite that of the adaptation alone, since the voltages follow it and
# push it back. A gated cell does the same with a cell state; here nobody put it in for the
# gradient's sake.
#
# ## What to try
#
# - Your own step: any function `fn(params, state, input) -> state` of arrays in any tree.
# - A smaller `EPSILON` makes the memory longer and harder to enter. Where is the best?
# - A gain close to the crossing, with adaptation. Does it still matter to meet it exactly?
# - `vj.diagnostics.influence_map(slow_chain)` and `vj.plots.plot_influence`: is memory cut
#   somewhere in particular?
#
# ## References
#
# - H. Sompolinsky, A. Crisanti, H.-J. Sommers: *Chaos in random neural networks*. Physical Review
#   Letters 61, 1988. The transition at $g = 1$.
# - G. Benettin et al.: *Lyapunov characteristic exponents for smooth dynamical systems*.
#   Meccanica 15, 1980. How exponents are computed.
# - R. Engelken, F. Wolf, L. F. Abbott: *Lyapunov spectra of chaotic recurrent neural networks*.
#   Physical Review Research 5, 043044, 2023.
