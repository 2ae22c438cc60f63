# %% [markdown]
# # Initialization and the critical line
#
# [Open in Colab][colab] (there, first `%pip install vanishing-jax[notebooks]`)
#
# [colab]: https://colab.research.google.com/github/vanishing-jax/vanishing_jax/blob/main/notebooks/03_initialization.ipynb
#
# **What you will learn:** what the usual ways to draw recurrent weights (Glorot, He, orthogonal,
# identity) do to a gradient, and why the answer depends on the *input*; where the critical line
# runs that separates vanishing from exploding, predicted and measured; whether networks near it
# learn to remember longer; and what orthogonal weights change, and what they do not.

# %%
import os

import jax.random as jr
import numpy as np
from matplotlib import pyplot as plt

import vanishing_jax as vj

TOY = "VANISHING_JAX_TOY" in os.environ  # the tests run this page small
STEPS, BURN, UNITS, SEEDS = (12, 2, 64, 2) if TOY else (150, 50, 128, 5)
COMPONENTS = 16  # of the input, white noise

# %% [markdown]
# ## Five ways to start
#
# Plain networks read noise of three sizes. The loss looks at the last state only, and
# `vj.gradient_profile` gives the gradient at every step: by how much does it change per step on its
# way back? (The first steps are left out, in which the state settles.) A thousandth is left after
# `memory_horizon` steps.
#
# The last row, *critical*, is told how large the input is.


# %%
def starts(deviation):
    """Return each initialization by name: activation and remedy."""
    return {
        "Glorot": ("tanh", vj.mitigations.glorot()),
        "He": ("tanh", vj.mitigations.he()),
        "orthogonal": ("tanh", vj.mitigations.orthogonal()),
        "identity, ReLU": ("relu", vj.mitigations.identity()),
        "critical": ("tanh", vj.mitigations.critical(deviation**2)),
    }


def loss(states):
    """Return the sum of the last state."""
    return states[-1].sum()


def rate(activation, remedy, deviation, seed):
    """Return the change of the gradient's log norm per step back."""
    key_cell, key_W, key_inputs = jr.split(jr.key(seed), 3)
    cell = vj.cells.VanillaCell(COMPONENTS, UNITS, activation=activation, key=key_cell)
    cell = remedy.transform_cell(cell, key=key_W)
    inputs = deviation * jr.normal(key_inputs, (STEPS, COMPONENTS))
    log_norm = vj.gradient_profile(cell, cell.initial_state(), inputs, loss=loss).log_norm
    return float(log_norm[BURN] - log_norm[-1]) / (STEPS - BURN)


deviations = [1.0] if TOY else [0.3, 1.0, 3.0]
print(f"{'nats per step':16}" + "".join(f"{f'input {d:g}':>18}" for d in deviations))
for name in ["Glorot", "critical"] if TOY else starts(1.0):
    row = ""
    for deviation in deviations:
        rates = [rate(*starts(deviation)[name], deviation, seed) for seed in range(SEEDS)]
        error = np.std(rates, ddof=1) / np.sqrt(SEEDS)
        row += f"{f'{np.mean(rates):+.3f} ± {error:.3f}':>18}"
    print(f"{name:16}{row}")

# %% [markdown]
# Glorot's weights let gradients vanish on every input, the faster the larger it is. He's, larger
# by $\sqrt 2$, make them grow a little on the small input and vanish on the large one: no fixed
# gain is right for all. Orthogonal weights of gain 1 do nearly what Glorot's do. The identity
# with ReLU, the IRNN, holds the gradient at all three sizes alike: a ReLU network without biases
# is the same at every scale of its input. And a gain that is chosen for the input brings the rate
# near 0 for tanh, slightly on the vanishing side: 128 units are not yet infinitely many.
#
# ## Where the line runs
#
# Mean-field theory describes a wide network by two numbers: the gain $g$ of its recurrent weights
# (entries of variance $g^2/n$; Glorot has 1, He 1.41) and the variance $s^2$ of what the input
# adds to each unit. Where its exponent is 0, gradients neither vanish nor explode.

# %%
variances = [0.0, 0.1] if TOY else [0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
gains = [0.5, 1.0] if TOY else np.arange(0.5, 3.01, 0.25)
sizes = {"hidden_size": 8, "num_steps": 6} if TOY else {"hidden_size": UNITS, "num_steps": STEPS}
phase = vj.phase_diagram(
    gains=gains, input_variances=variances, **sizes, seeds=SEEDS, progress=False, key=jr.key(0)
)
figure = vj.plots.plot_phase_diagram(phase)
for v in variances:
    at = phase.sel(input_variance=v)
    print(
        f"input variance {v:<5g} critical gain: predicted {float(at.critical_gain):.3f}, ", end=""
    )
    print(f"measured {float(at.measured_critical_gain):.3f} ± {float(at.critical_gain_error):.3f}")
difference = np.abs(phase.exponent.mean("seed") - phase.predicted_exponent)
print(f"difference of the exponents: median {float(difference.median()):.3f}, ", end="")
print(f"largest {float(difference.max()):.3f} nats per step")

# %% [markdown]
# Left and right agree, to 0.05 nats per step everywhere. The line leans to the right: input
# drives the units into saturation, where slopes are small, and more gain must make up for it.
# Glorot's gain of 1 lies on it only where there is no input at all. Networks of 128 units become
# critical at slightly more gain than the limit, most so without input. Where it is pale, a
# thousandth of the gradient is still there after all 150 steps, or more than there was.
#
# ## Does it matter for learning?
#
# A gradient that survives is no success yet. So train: a network sees one of four symbols, then
# noise for $T$ steps, and is to say which symbol it was. The same number of updates for every
# gain and every $T$.

# %%
trained = vj.trainability_map(
    gains=[0.8, 1.2] if TOY else [0.6, 0.8, 1.0, 1.2, 1.4, 1.8, 2.4, 3.0],
    lags=[1, 2] if TOY else [2, 4, 8, 16, 32, 64, 128],
    input_variance=0.01,
    progress=False,
    key=jr.key(1),
    **({"hidden_size": 8, "num_updates": 2, "num_test": 20, "seeds": 1} if TOY else {}),
)
vj.plots.plot_trainability(trained)
critical = float(vj.theory.critical_gain(activation="tanh", input_variance=0.01))
print(f"critical gain: {critical:.2f}")
for g in trained.gain.values:
    at = trained.sel(gain=g)
    print(
        f"gain {g:.1f}: halfway to chance at T = {float(at.boundary):5.1f}; time scale of the ",
        end="",
    )
    print(f"signal {float(at.signal_time):4.1f}, of the gradient {float(at.gradient_time):5.1f}")
for scale in ("signal", "gradient"):
    print(f"rank correlation with the {scale} time: ", end="")
    print(f"{trained.attrs[f'{scale}_rank_correlation']:.2f}")

# %% [markdown]
# (`inf` is beyond the longest $T$, 0 below the shortest.) The longest recall is at gain 1.2, next
# to the critical gain, the dotted line. Left of it, where gradients vanish, the boundary is about
# six times the predicted time at each of the three gains: that far theory explains what can be
# learned before anything has been trained. Right of it, where gradients explode, the boundary is a
# smaller multiple of either time, and networks learn less even at small $T$. The time of the
# gradient, which is short on both sides of the line, orders the gains better than that of the
# signal. The multiple theory does not give: it is that of so many updates.
#
# ## Orthogonal or Gaussian?
#
# Orthogonal weights are said to be better for gradients. In a *linear* network they keep all of
# them. With tanh, and the same gain, here are all Lyapunov exponents, not only the first.

# %%
GAIN, DRIVE = 1.2, 0.05
POINTS = 2 if TOY else 32  # of the predicted curves


def exponents(weights, seed):
    """Return the Lyapunov exponents of a driven tanh network, each unit with its own input."""
    key_W, key_cell, key_inputs = jr.split(jr.key(seed), 3)
    remedy = {
        "gaussian": vj.mitigations.normal(GAIN / np.sqrt(64)),
        "orthogonal": vj.mitigations.orthogonal(GAIN),
    }[weights]
    cell = vj.cells.VanillaCell(
        64, 64, input_initializer=vj.cells.identity_initializer(), key=key_cell
    )
    cell = remedy.transform_cell(cell, key=key_W)
    inputs = np.sqrt(DRIVE) * jr.normal(key_inputs, (12 if TOY else 300, 64))
    chain = vj.linearize(cell, vj.rollout(cell, cell.initial_state(), inputs))
    return vj.lyapunov_exponents(chain).exponents


figure, ax = plt.subplots(figsize=(6.0, 3.6), layout="constrained")
network = {"activation": "tanh", "gain": GAIN, "input_variance": DRIVE}
print(f"predicted leading exponent of both: {vj.theory.mean_field_exponent(**network):+.3f}")
for weights, marker in (("gaussian", "o"), ("orthogonal", "s")):
    found = np.array([exponents(weights, seed) for seed in range(SEEDS)])
    predicted = vj.theory.mean_field_spectrum(POINTS, **network, weights=weights)
    ax.plot(np.arange(1, 65), found.mean(axis=0), marker, markersize=3.5, label=weights)
    ax.plot((np.arange(POINTS) + 0.5) * 64 / POINTS + 0.5, predicted, color="black", linewidth=1)
    error = found[:, 0].std(ddof=1) / np.sqrt(SEEDS)
    print(f"{weights:10} leading {found[:, 0].mean():+.3f} ± {error:.3f}, ", end="")
    print(f"the 32nd {found[:, 31].mean():+.3f}, the 60th {found[:, 59].mean():+.3f}")
ax.axhline(0, color="gray", linewidth=1)
ax.set(
    xlabel="index $i$ of 64 (1 = largest)",
    ylabel=r"$\lambda_i$ (nats per step)",
    ylim=(-3, 0.3),
    title="All exponents at gain 1.2 (lines: theory)",
)
ax.legend()

# %% [markdown]
# Both leading exponents are near the one prediction, that of the 64 Gaussian units somewhat above
# it: the best direction fares no better with orthogonal weights. What they change is the
# *spread*. The 60th direction of 64 loses 0.3 nats per step with orthogonal weights and 1.7 with
# Gaussian ones: far more directions live almost as long as the best.
#
# ## What to try
#
# - Biases in place of inputs: `vj.phase_diagram(gains=..., bias_variances=...)`. Does the line move
#   the same way?
# - `activation="relu"`: where is its line, and does it move at all?
# - `vj.trainability_map(..., input_variance=0.1)`: stronger noise. Which gain remembers longest
#   now, and for how long?
# - Your own network: `vj.theory.predict(cell, inputs)` and `vj.diagnose` say on which side it is.
#
# ## References
#
# - X. Glorot, Y. Bengio: *Understanding the difficulty of training deep feedforward neural
#   networks*. AISTATS 2010.
# - K. He, X. Zhang, S. Ren, J. Sun: *Delving deep into rectifiers*. ICCV 2015.
# - A. Saxe, J. McClelland, S. Ganguli: *Exact solutions to the nonlinear dynamics of learning in
#   deep linear neural networks*. ICLR 2014.
# - Q. Le, N. Jaitly, G. Hinton: *A simple way to initialize recurrent networks of rectified linear
#   units*. arXiv:1504.00941, 2015.
# - B. Poole et al.: *Exponential expressivity in deep neural networks through transient chaos*.
#   NIPS 2016.
# - S. Schoenholz, J. Gilmer, S. Ganguli, J. Sohl-Dickstein: *Deep information propagation*. ICLR
#   2017.
# - M. Chen, J. Pennington, S. Schoenholz: *Dynamical isometry and a mean field theory of RNNs*.
#   ICML 2018.
