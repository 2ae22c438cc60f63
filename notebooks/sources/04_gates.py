# %% [markdown]
# # Gates: how an LSTM and a GRU keep a gradient
#
# [Open in Colab][colab] (there, first `%pip install vanishing-jax[notebooks]`)
#
# [colab]: https://colab.research.google.com/github/vanishing-jax/vanishing_jax/blob/main/notebooks/04_gates.ipynb
#
# **What you will learn:** through which part of an LSTM or GRU the gradient survives, how the
# bias of one gate sets how long, how well the textbook formula for that predicts a measurement on
# the whole state, and what a spread of biases (chrono) does differently.

# %%
import os

import jax.random as jr
import numpy as np
from matplotlib import pyplot as plt

import vanishing_jax as vj

TOY = "VANISHING_JAX_TOY" in os.environ  # the tests run this page small
STEPS = 12 if TOY else 200
UNITS = {"LSTM": 32, "GRU": 64}  # both carry 64 numbers: an LSTM has (h, c)
CELLS = {"LSTM": vj.cells.LSTMCell, "GRU": vj.cells.GRUCell}
inputs = jr.normal(jr.key(1), (STEPS, 1))


def with_keep_bias(name, bias):
    """Return a fresh cell whose keeping gate (f in an LSTM, z in a GRU) has this bias."""
    cell = CELLS[name](1, UNITS[name], key=jr.key(0))
    return vj.mitigations.forget_bias(bias).transform_cell(cell, key=jr.key(0))


def chain_of(cell):
    """Return the exact Jacobians of the whole state along the sequence."""
    return vj.linearize(cell, vj.rollout(cell, cell.initial_state(), inputs))


# %% [markdown]
# ## The direct path
#
# An LSTM adds to what it keeps, $c' = f \odot c + i \odot g$, so that with the gates held fixed
# $\partial c'/\partial c = \operatorname{diag}(f)$; in a GRU, $h' = z \odot h + (1 - z) \odot n$,
# it is $\operatorname{diag}(z)$. A gate at $\sigma(b)$ keeps for $\tau = -1/\ln \sigma(b)$ steps.
# But the gates depend on the state as well. Does the formula hold for the *whole* Jacobian?

# %%
biases = np.array([0.0, 3.0] if TOY else [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
formula = np.log(1 / (1 + np.exp(-biases)))
top = {
    name: np.array(
        [
            vj.log_singular_values(chain_of(with_keep_bias(name, b))).log_singular_values[0] / STEPS
            for b in biases
        ]
    )
    for name in CELLS
}
print(f"{'bias':>5} {'steps kept, formula':>20} {'rate: formula':>14} {'LSTM':>8} {'GRU':>8}")
for i, bias in enumerate(biases):
    rates = f"{formula[i]:14.3f} {top['LSTM'][i]:8.3f} {top['GRU'][i]:8.3f}"
    print(f"{bias:5.0f} {-1 / formula[i]:20.1f} {rates}")

figure, ax = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
ax.plot(biases, formula, color="black", label=r"$\ln \sigma(b)$")
for (name, rates), style in zip(top.items(), ("o--", "s:"), strict=True):
    ax.plot(biases, rates, style, label=f"{name}, the whole state")
ax.axhline(0, color="gray", linewidth=1)
ax.set(
    xlabel="bias $b$ of the gate", ylabel=r"$\frac{1}{T}\,\log\,\sigma_1$", title="Best direction"
)
ax.legend()

# %% [markdown]
# The formula gives the right picture and errs on the side of caution, for the best direction: the
# paths through the other gates add to the direct one, in an LSTM so much that at large biases it
# grows. In the formula a point of bias buys a factor of almost $e$ in time, once $b$ is large.
#
# ## The path through h alone
#
# Is it really the direct path? Here is the same LSTM with everything but one block of its
# Jacobians struck out.

# %%
for bias in (0.0, 3.0):
    chain = chain_of(with_keep_bias("LSTM", bias))
    print(f"forget bias {bias:.0f}")
    for part in ("h", "c"):
        alone = vj.JacobianChain(np.asarray(chain.block(part, part), float))
        decades = vj.log_singular_values(alone).log_singular_values[0] / np.log(10)
        print(f"  only {part} from {part}: 10^{decades:.1f} after {STEPS} steps")
    decades = vj.log_singular_values(chain).log_singular_values[0] / np.log(10)
    print(f"  the whole state: 10^{decades:.1f}")

# %% [markdown]
# The product of $\partial h'/\partial h$ is next to nothing and hardly changes with the bias.
# That of $\partial c'/\partial c$ is what carries.
#
# ## One time scale, or many?
#
# A bias of 5 keeps for long, but then *everything* is kept for long, the unimportant too, and
# nothing is written quickly. Chrono initialization draws time scales up to $T$, $b_f = \ln U[1, T
# - 1]$, and closes the input gate of the slow units, $b_i = -b_f$. All singular values, not only
#   the first:

# %%
plain = vj.cells.LSTMCell(1, UNITS["LSTM"], key=jr.key(0))
networks = {
    "bias 1": with_keep_bias("LSTM", 1.0),
    "bias 5": with_keep_bias("LSTM", 5.0),
    "chrono": vj.mitigations.chrono(max(STEPS, 3)).transform_cell(plain, key=jr.key(2)),
}
figure, ax = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
for (name, cell), style in zip(networks.items(), ("o", "s", "^"), strict=True):
    decades = vj.log_singular_values(chain_of(cell)).log_singular_values / np.log(10)
    ax.plot(np.arange(1, 33), decades[:32], style, markersize=4, label=name)
    left = int(np.sum(decades > -3))
    print(
        f"{name}: {left} of {len(decades)} directions keep more than a thousandth, the best ",
        end="",
    )
    print(f"10^{decades[0]:+.1f}")
ax.axhline(-3, color="gray", linewidth=1, linestyle=":")
ax.set(
    xlabel="index $i$ (1 = largest), the upper half",
    ylabel=rf"$\log_{{10}}\,\sigma_i$ after {STEPS} steps",
    title="One time scale or many",
)
ax.legend()

# %% [markdown]
# A bias of 5 and chrono keep about as many directions. They differ at the upper end: with a bias
# of 5 the leading directions *grow*, since the other gates add to what is kept; with chrono,
# whose slow units have closed input gates, none does. Which of these *learns* is another
# question, and for training to answer: see [page 11](11_pytorch_lstm.ipynb), where chrono learns
# and a single bias does not, at the same reach.
#
# ## What to try
#
# - Inputs of ten times the size: the gates saturate. Does the formula still hold?
# - A GRU's reset gate: does its bias matter (`vj.diagnose` tries it)?
# - A bias of 5 over 2000 steps: is the product still near 1?
# - `vj.compare(["lstm", "lstm+chrono", "gru"], "copy memory", length=100, seeds=4,
#   num_updates=2000)`.
#
# ## References
#
# - S. Hochreiter, J. Schmidhuber: *Long short-term memory*. Neural Computation 9(8), 1997.
# - F. Gers, J. Schmidhuber, F. Cummins: *Learning to forget*. Neural Computation 12(10), 2000.
# - K. Cho et al.: *Learning phrase representations using RNN encoder-decoder for statistical
#   machine translation*. EMNLP 2014.
# - R. Jozefowicz, W. Zaremba, I. Sutskever: *An empirical exploration of recurrent network
#   architectures*. ICML 2015.
# - C. Tallec, Y. Ollivier: *Can recurrent neural networks warp time?* ICLR 2018.
