# %% [markdown]
# # The mathematics
#
# [Open in Colab][colab] (there, first `%pip install vanishing-jax[notebooks]`)
#
# [colab]: https://colab.research.google.com/github/vanishing-jax/vanishing_jax/blob/main/notebooks/02_the_mathematics.ipynb
#
# **What you will learn:** why gradients vanish, from the chain rule to the spectrum of the
# product of Jacobians, in eight steps. Each is proved in a few lines and checked by numbers in
# the cell below it, each time against another computation than the formula itself. (The network
# computes in single precision, as networks do: where it is compared with itself, seven digits
# agree.)

# %%
import os

import jax
import jax.random as jr
import numpy as np
from matplotlib import pyplot as plt
from scipy.special import digamma

import vanishing_jax as vj

TOY = "VANISHING_JAX_TOY" in os.environ  # the tests run this page small
STEPS, UNITS = (12, 64) if TOY else (50, 16)

cell = vj.cells.VanillaCell(1, UNITS, key=jr.key(0))  # h' = tanh(W h + U x + b)
inputs = jr.normal(jr.key(1), (STEPS, 1))
trajectory = vj.rollout(cell, cell.initial_state(), inputs)
chain = vj.linearize(cell, trajectory, precision="float64")
J = chain.jacobians  # J[t - 1] = dh_t/dh_{t-1}
spectrum = vj.log_singular_values(chain)
logs = spectrum.log_singular_values


def compare(what, left, right):
    """Print two computations of the same number."""
    print(f"{what}: {left:.6g} and {right:.6g}, difference {abs(left - right):.0e}")


# %% [markdown]
# ## 1. The chain rule
#
# $h_T = f(f(\ldots f(h_0, x_1) \ldots), x_T)$, so
# $$\frac{\partial h_T}{\partial h_0} = J_T J_{T-1} \cdots J_1, \qquad
# J_t = \frac{\partial h_t}{\partial h_{t-1}}.$$
# *Check:* automatic differentiation of the whole unrolled network, which knows nothing of
# factors. We take a few steps only: the product itself soon has no floating numbers.

# %%
few = 5


def unrolled(h):
    """Return the state after a few steps."""
    for x in inputs[:few]:
        h = cell(h, x)
    return h


whole = np.asarray(jax.jacrev(unrolled)(cell.initial_state()))
product = np.linalg.multi_dot(J[:few][::-1])
compare("an entry of the Jacobian of five steps", whole[0, 1], product[0, 1])
print(f"largest difference of all entries: {np.abs(whole - product).max():.0e}")

# %% [markdown]
# ## 2. What back-propagation multiplies
#
# With a loss at the last step, $\delta_t = \partial L/\partial h_t$ obeys $\delta_{t-1} =
# J_t^\top \delta_t$, so $\delta_0 = (J_T \cdots J_1)^\top \delta_T$. With losses at other steps
# each adds its own term. For the Euclidean norm of any vector,
# $$\sigma_n \|\delta_T\| \le \|\delta_0\| \le \sigma_1 \|\delta_T\|,$$
# by the definition of the singular values $\sigma_1 \ge \ldots \ge \sigma_n$ of the product.
# *Check:* the gradient of a loss, carried back by automatic differentiation.

# %%
profile = vj.gradient_profile(
    cell, cell.initial_state(), inputs, loss=lambda states: states[-1].sum()
)
change = float(profile.log_norm[0] - profile.log_norm[-1])
print(f"{logs[-1]:.2f} <= {change:.2f} <= {logs[0]:.2f}: {bool(logs[-1] <= change <= logs[0])}")

# %% [markdown]
# ## 3. One step
#
# For this cell $J_t = D_t W$ with $D_t = \operatorname{diag}(1 - h_t^2)$, since $\tanh' = 1 -
# \tanh^2$. Both factors matter: slopes of at most 1 *and* the weights. *Check:* the Jacobian of
# automatic differentiation, entry by entry.

# %%
W = np.asarray(cell.weight_hh, float)
h = np.asarray(trajectory.states, float)
formula = (1 - h[1:] ** 2)[:, :, None] * W
print(f"largest difference over all steps: {np.abs(formula - J).max():.0e}")
print(f"mean slope:                  {np.mean(1 - h[1:] ** 2):.3f}")
print(f"largest singular value of W: {np.linalg.norm(W, 2):.3f}")

# %% [markdown]
# ## 4. A sufficient condition for vanishing
#
# $\|AB\| \le \|A\|\,\|B\|$, hence $\sigma_1 \le \prod_t \|J_t\| \le (\gamma \|W\|)^T$ with
# $\gamma$ the largest slope. If $\gamma\|W\| < 1$ the gradient vanishes, whatever the input
# (Pascanu et al.). The condition is sufficient and far from necessary: the bound can explode
# while the gradient vanishes. *Check:*

# %%
steps = sum(np.log(np.linalg.norm(j, 2)) for j in J)
print(f"log sigma_1 of the product:        {logs[0]:8.2f}")
print(f"sum of log ||J_t||:                {steps:8.2f}")
print(f"T log (gamma ||W||), with gamma 1: {STEPS * np.log(np.linalg.norm(W, 2)):8.2f}")

# %% [markdown]
# ## 5. A sum rule
#
# $|\det AB| = |\det A|\,|\det B|$ and $|\det P| = \prod_i \sigma_i$, so
# $$\sum_i \log \sigma_i = \sum_t \log |\det J_t|.$$
# All singular values together are known from single steps; only their distribution is not.
# *Check:* determinants by LU against the spectrum.

# %%
compare("sum of logs", float(logs.sum()), float(np.linalg.slogdet(J)[1].sum()))

# %% [markdown]
# ## 6. Eigenvalues do not decide
#
# $W = \begin{pmatrix} a & b \\ 0 & a \end{pmatrix}$ has the eigenvalue $a$ twice, and $W^t = a^t
# \begin{pmatrix} 1 & t\,b/a \\ 0 & 1 \end{pmatrix}$ (induction over $t$). With $|a| < 1$ it goes
# to 0 in the end, but first grows as long as $t\,b/a$ wins. *Check:*

# %%
a, b = 0.9, 2.0
jordan = np.array([[a, b], [0, a]])
norms = [np.linalg.norm(np.linalg.matrix_power(jordan, t), 2) for t in range(1, 101)]
compare("corner of W^10", np.linalg.matrix_power(jordan, 10)[0, 1], a**10 * 10 * b / a)
print(f"spectral radius {a}; largest norm {max(norms):.2f} after {np.argmax(norms) + 1} steps")
print(f"after 100 steps {norms[-1]:.1e}")

# %% [markdown]
# ## 7. One rate for long times
#
# $\log\|J_T \cdots J_1\|$ is subadditive in $T$, so for stationary inputs it grows like
# $\lambda_1 T$ (Furstenberg and Kesten; Oseledets for all $\sigma_i$). The $\lambda_i$ are the
# Lyapunov exponents. For independent Gaussian matrices of variance $g^2/n$ they are known
# exactly: a Gaussian matrix turns any vector into a Gaussian vector, whose squared norm is
# $g^2/n$ times a chi-square of $n$ degrees of freedom, independently at each step. Hence
# $$\lambda_1 = \log g + \tfrac12\big(\psi(n/2) + \log(2/n)\big).$$
# *Check:* the growth of one vector, simulated.

# %%
n, g, many = 8, 1.0, 400 if TOY else 20_000
rng = np.random.default_rng(0)
growth, vector = [], np.ones(n) / np.sqrt(n)
for _ in range(many):
    vector = g / np.sqrt(n) * rng.normal(size=(n, n)) @ vector
    size = np.linalg.norm(vector)
    growth.append(np.log(size))
    vector /= size
mean, error = np.mean(growth), np.std(growth) / np.sqrt(many)
theory = np.log(g) + 0.5 * (digamma(n / 2) + np.log(2 / n))
print(f"simulated {mean:.4f} ± {error:.4f}, formula {theory:.4f}")
print(f"z = {(mean - theory) / error:+.1f}")

# %% [markdown]
# For the other directions the same holds of volumes: of the space that $i$ vectors span. Newman's
# formula gives all $n$ exponents. *Check:* $\frac1t \log \sigma_i$ of one product, as it grows.

# %%
n, length = (64, 12) if TOY else (8, 1000)
gaussian = vj.JacobianChain(rng.normal(size=(length, n, n)) / np.sqrt(n))
grown = vj.log_singular_values(gaussian, every=length // 4 if TOY else 20)
times = np.array([end - start for start, end in grown.windows])
figure, ax = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
ax.plot(times, grown.log_singular_values / times[:, None], linewidth=1.5)
newman = vj.theory.ginibre_exponents(n, variance=1 / n)
ax.hlines(newman, 0, times[-1], color="gray", linestyle=":", label="Newman")
ax.set(
    xlabel="length $t$",
    ylabel=r"$\frac{1}{t}\,\log\,\sigma_i$",
    title="Every direction has its rate",
)
ax.legend(loc="center right")
error = np.sqrt(vj.theory.ginibre_growth_variance(n) / length)
distance = (grown.log_singular_values[-1] / length - newman) / error
print("distance at the end in standard errors:", np.round(distance, 1))

# %% [markdown]
# Even with $g = 1$, where the mean *square* of the norm is kept, the typical gradient shrinks:
# $\log$ is concave, so $E \log X < \log E X$. And the directions differ: most shrink much faster.
#
# ## 8. What keeps every direction
#
# If all $J_t$ are orthogonal, the product is, and every $\sigma_i = 1$. A linear network with
# orthogonal $W$ does that. With tanh it is $J_t = D_t W$ again, and $\sum_i \log\sigma_i = \sum_t
# \sum_j \log(1 - h_{t,j}^2) \le 0$ by steps 3 and 5, with equality only where all states are 0:
# *an orthogonal tanh network loses volume whatever it reads.* *Check:*

# %%
orthogonal = vj.mitigations.orthogonal().transform_cell(cell, key=jr.key(2))
path = vj.rollout(orthogonal, cell.initial_state(), inputs)
found = vj.log_singular_values(vj.linearize(orthogonal, path, precision="float64"))
states = np.asarray(path.states[1:], float)
compare("sum of logs", float(found.log_singular_values.sum()), float(np.log1p(-(states**2)).sum()))
print(f"log sigma_1: {found.log_singular_values[0]:.2f} orthogonal, {logs[0]:.2f} Glorot")

linear = vj.mitigations.orthogonal().transform_cell(
    vj.cells.VanillaCell(1, UNITS, activation="identity", key=jr.key(0)), key=jr.key(2)
)
path = vj.rollout(linear, cell.initial_state(), inputs)
found = vj.log_singular_values(vj.linearize(linear, path, precision="float64"))
print(f"linear and orthogonal: all logs within {np.abs(found.log_singular_values).max():.0e} of 0")

# %% [markdown]
# ## What to try
#
# - Step 4 with `W` scaled such that $\|W\| < 1$: how far is the bound from the truth?
# - Step 7 with $g = 1.1$: at which $g$ does the typical gradient neither grow nor shrink?
# - Step 8 with weaker inputs: how does the loss of volume depend on them?
# - The same for your network: `vj.linearize` gives the chain, everything else follows.
#
# ## References
#
# - R. Pascanu, T. Mikolov, Y. Bengio: *On the difficulty of training recurrent neural networks*.
#   ICML
#   2013. Steps 2 to 4.
# - H. Furstenberg, H. Kesten: *Products of random matrices*. Annals of Mathematical Statistics
#   31, 1960; V. Oseledets: *A multiplicative ergodic theorem*. Transactions of the Moscow
#   Mathematical Society 19, 1968. Step 7.
# - C. Newman: *The distribution of Lyapunov exponents: exact results for random matrices*.
#   Communications in Mathematical Physics 103, 1986. Step 7.
# - A. Saxe, J. McClelland, S. Ganguli: *Exact solutions to the nonlinear dynamics of learning in
#   deep linear neural networks*. ICLR 2014. Step 8.
