# %% [markdown]
# # Six mistakes to avoid
#
# [Open in Colab][colab] (there, first `%pip install vanishing-jax[notebooks]`)
#
# [colab]: https://colab.research.google.com/github/vanishing-jax/vanishing_jax/blob/main/notebooks/10_mistakes_to_avoid.ipynb
#
# **What you will learn:** six ways to measure vanishing gradients that look right, run without
# any error, and give a wrong answer. Each is shown wrong and right, with numbers. All of them can
# be found in published code or forum answers.

# %%
import os

import jax.random as jr
import numpy as np
from matplotlib import pyplot as plt

import vanishing_jax as vj

TOY = "VANISHING_JAX_TOY" in os.environ  # the tests run this page small
STEPS = 12 if TOY else 200
SIZE = 64 if TOY else 8  # of the Jacobians in mistakes 1, 2, 3

rng = np.random.default_rng(0)
# Jacobians of a tanh network, D W: the same W at each step, other slopes D.
W = rng.normal(size=(SIZE, SIZE)) / np.sqrt(SIZE)
slopes = 1 - np.tanh(rng.normal(size=(STEPS, SIZE))) ** 2
jacobians = slopes[:, :, None] * W
chain = vj.JacobianChain(jacobians)
truth = vj.log_singular_values(chain)
print(f"log singular values of J_T ... J_1: {np.round(truth.log_singular_values, 2)}")
print(f"error at most                       {truth.error_bound.max():.0e}")

# %% [markdown]
# ## 1. Multiplying the matrices and taking the SVD
#
# Floating-point numbers have 16 digits. A product of matrices keeps its *largest* entries to 16
# digits; a singular value that is more than 16 decades below the largest is nothing but rounding.

# %%
product = np.eye(SIZE)
for J in jacobians:
    product = J @ product
naive = np.log(np.linalg.svd(product, compute_uv=False))
print(f"{'index':>5} {'wrong':>10} {'right':>10}")
for i in np.unique(np.linspace(0, SIZE - 1, 8).astype(int)):
    print(f"{i + 1:5} {naive[i]:10.2f} {truth.log_singular_values[i]:10.2f}")

# %% [markdown]
# There is a second check that needs no other algorithm: the logs must add up to $\sum_t \ln|\det
# J_t|$.

# %%
determinants = np.linalg.slogdet(jacobians)[1].sum()
print(f"sum of log |det J_t|: {determinants:.6f}")
print(f"sum of logs, wrong:   {naive.sum():.6f}")
print(f"sum of logs, right:   {truth.log_singular_values.sum():.6f}")

# %% [markdown]
# ## 2. Taking the diagonals of a QR recursion for singular values
#
# The stable way to Lyapunov exponents factors $J_t Q_{t-1} = Q_t R_t$ and adds up $\ln|R_{ii}|$.
# It passes the check of the determinants. But it gives the *growth of the space spanned by the
# first $i$ directions one happened to start with*, and that becomes a singular value only as $T
# \to \infty$, after division by $T$. At finite $T$ it is another number.

# %%
Q, sums = np.eye(SIZE), np.zeros(SIZE)
for J in jacobians:
    Q, R = np.linalg.qr(J @ Q)
    sums += np.log(np.abs(np.diag(R)))
difference = np.sort(sums)[::-1] - truth.log_singular_values
print(f"sum of all, QR: {sums.sum():.6f}   (so it passes)")
print(f"QR sums minus log singular values: {np.round(difference, 2)}")
print("per step, as for Lyapunov exponents:", np.round(difference / STEPS, 4))

# %% [markdown]
# Both are useful: `vj.lyapunov_exponents` and `vj.log_singular_values` are two functions.
#
# ## 3. Multiplying in the wrong order
#
# $\partial h_T/\partial h_0 = J_T J_{T-1} \cdots J_1$: the newest on the left. Multiplied as a
# loop would write it down, $J_1 J_2 \cdots J_T$, the shapes fit and the determinant is right
# again.

# %%
backwards = vj.log_singular_values(vj.JacobianChain(jacobians[::-1])).log_singular_values
transposed = vj.log_singular_values(
    vj.JacobianChain(np.swapaxes(jacobians, 1, 2)[::-1])
).log_singular_values
right = truth.log_singular_values
print(f"J_1 J_2 ... J_T, wrong:           {np.round((backwards - right)[:3], 2)} off")
print(f"J_1' ... J_T', the transpose:     {np.round((transposed - right)[:3], 2)} off")

# %% [markdown]
# The last line is what back-propagation multiplies, the transpose of the whole product. It has
# the same singular values: forward and backward vanish alike.
#
# ## 4. Dropping the cell state
#
# An LSTM carries $(h, c)$. Whoever differentiates $h_t$ by $h_{t-1}$ and multiplies has removed
# the very path that the LSTM was built for.

# %%
inputs = jr.normal(jr.key(1), (STEPS, 1))
print(f"{'forget bias':>11} {'wrong: product of dh/dh':>26} {'right: the whole state':>26}")
for bias in (0.0, 1.0, 3.0, 5.0):
    cell = vj.cells.LSTMCell(1, 32, forget_bias=bias, key=jr.key(0))
    lstm = vj.linearize(cell, vj.rollout(cell, cell.initial_state(), inputs))
    without_c = vj.JacobianChain(np.asarray(lstm.block("h", "h"), float))
    wrong, whole = (
        vj.log_singular_values(x).log_singular_values[0] / np.log(10) for x in (without_c, lstm)
    )
    print(f"{bias:11} {f'10^{wrong:.1f}':>26} {f'10^{whole:.1f}':>26}")

# %% [markdown]
# The wrong column does not even see the forget gate.
#
# ## 5. Believing a zero
#
# In single precision a number far below $10^{-38}$ is 0, and just below it has lost its digits. A
# norm squares first, so that it is gone after half as many decades. A curve that "drops to
# exactly 0" tells about the format, not about the network.

# %%
length = 1000
decay = np.float32(0.9) ** np.arange(length, dtype=np.float32)
vectors = decay[:, None] * np.ones((1, 4), np.float32)
squared = np.sqrt(np.sum(vectors * vectors, axis=1, dtype=np.float32))
exact = np.arange(length) * np.log10(0.9) + np.log10(2)
for name, values in {"entries": decay, "norm by squares": squared}.items():
    print(f"{name:16} exactly 0 from step {int(np.argmax(values == 0))} on")
print(f"right: at the last of {length} steps the norm is 10^{exact[-1]:.1f}")

# %% [markdown]
# Everything here works in logarithms: each step is rescaled and the logs of the scales are added
# up.
#
# ## 6. Taking the log of a clipped norm
#
# To avoid $\log 0$ one writes `log(norm + 1e-12)` or clips. Then one fits a slope, and averages
# over sequences. The floor becomes data: the slope comes out too flat, the more so the longer the
# sequence.

# %%
with np.errstate(divide="ignore"):
    logs = np.log(squared.astype(float))
floored = np.log(squared.astype(float) + 1e-12)
print(f"true rate: {np.log(0.9):.4f} per step")
figure, ax = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
steps = np.arange(length)
ax.plot(steps, exact, color="black", label="right, in logs")
ax.plot(steps, floored / np.log(10), "--", label="log(norm + 1e-12)")
ax.plot(steps, np.where(np.isfinite(logs), logs, np.nan) / np.log(10), ":", label="float32 norm")
ax.set(xlabel="steps", ylabel="log10 of the norm", title="The floor becomes data")
ax.legend()
for until in (100, 200, 400, 1000):
    slope = np.polyfit(steps[:until], floored[:until], 1)[0]
    print(f"fitted to the floored curve over {until:4} steps: {slope:.4f}")

# %% [markdown]
# If you must have a floor, mark what lies on it and leave it out. The plots of this package draw
# an exact zero as a triangle at the lower edge, and say how many there are.
#
# ## What to try
#
# - Mistake 1 with half the steps, and in `float32`: from which index on is it wrong?
# - Mistake 2 with ten times the steps: the difference per step shrinks, the difference does not.
# - Mistake 4 for a GRU: what is its whole state?
# - Your own code from before: hand its Jacobians to `vj.JacobianChain` and compare.
#
# ## References
#
# - G. Benettin et al.: *Lyapunov characteristic exponents for smooth dynamical systems*.
#   Meccanica 15, 1980. The QR recursion, for exponents.
# - J. Demmel, K. Veselić: *Jacobi's method is more accurate than QR*. SIAM Journal on Matrix
#   Analysis and Applications 13(4), 1992. Small singular values to full relative accuracy.
# - S. Hochreiter, J. Schmidhuber: *Long short-term memory*. Neural Computation 9(8), 1997. Why
#   the cell state is there.
# - [How the spectra are computed](../docs/guides/spectra.md) in this package, and what each error
#   bound means.
