# %% [markdown]
# # Normalization: which placements help and which do not
#
# [Open in Colab][colab] (there, first `%pip install vanishing-jax[notebooks]`)
#
# [colab]: https://colab.research.google.com/github/vanishing-jax/vanishing_jax/blob/main/notebooks/05_normalization.ipynb
#
# **What you will learn:** that "normalization keeps gradients from vanishing" is neither true nor
# false before one has said *what* is normalized; which single number decides; where layer or batch
# normalization makes things worse; what its gain does, and what it cannot mend.
#
# Four ways to put a norm into $h' = \tanh(W h + U x + b)$, each with a gain $\gamma$:
#
# - **joint:** $\gamma\,\mathrm{N}(W h + U x)$, the usual layer normalization;
# - **separate:** $\gamma\,\mathrm{N}(W h) + \gamma_x\,\mathrm{N}(U x)$, of batch normalization
#   called *recurrent*;
# - **input:** $W h + \gamma_x\,\mathrm{N}(U x)$;
# - none.
#
# $\mathrm{N}$ subtracts the mean and divides by the standard deviation: over the units of one step
# (layer), or of each unit over the sequences of a batch (batch).

# %%
import functools as ft
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.nn import initializers
from matplotlib import pyplot as plt

import vanishing_jax as vj
from vanishing_jax import theory

TOY = "VANISHING_JAX_TOY" in os.environ  # the tests run this page small
POINTS = 3 if TOY else 60  # of a line
UNITS, STEPS, SEEDS, BATCH = (64, 12, 2, 4) if TOY else (256, 160, 8, 128)


def fresh(key, gain=1.0, strength=1.0, kind=vj.cells.VanillaCell):
    """Return a random cell: W of this gain, and U x of this standard deviation in every unit."""
    normal = lambda deviation: initializers.normal(deviation / np.sqrt(UNITS))  # noqa: E731
    weights = {"recurrent_initializer": normal(gain), "input_initializer": normal(strength)}
    return kind(UNITS, UNITS, **weights, key=key)


# %% [markdown]
# ## The contestants
#
# Layer and batch normalization are cells around a cell. RMSNorm, which divides by the root mean
# square and subtracts no mean, is not among the cells of the library; a function of your own is
# measured like any of them.


# %%
def layer_norm(placement):
    """Return what wraps a cell in layer normalization."""

    def wrap(cell, gains, batch):
        cell = vj.cells.LayerNormCell(cell, placement=placement)
        for site in cell.norms:
            gain = gains["input" if site.endswith("input") else "recurrent"]
            where = lambda c, site=site: c.norms[site].weight
            cell = eqx.tree_at(where, cell, replace_fn=lambda w, gain=gain: gain * w)
        return cell

    return wrap


def batch_norm(placement):
    """Return what wraps a cell in batch normalization, with the statistics of a batch."""

    def wrap(cell, gains, batch):
        cell = vj.cells.BatchNormCell(cell, num_steps=STEPS, placement=placement, gain=1.0)
        new = {s: gains["input" if s.endswith("input") else "recurrent"] * g
               for s, g in cell.gain.items()}  # fmt: skip
        cell = eqx.tree_at(lambda c: c.gain, cell, new)
        return vj.cells.estimate_statistics(cell, batch)

    return wrap


def rms_norm(cell, gains, batch):
    """Wrap a plain cell in RMSNorm of W h + U x."""

    def step(cell, state, input):
        a = cell.weight_hh @ state + cell.weight_xh @ input
        return jnp.tanh(gains["recurrent"] * a / jnp.sqrt(jnp.mean(a**2) + 1e-5) + cell.bias)

    return vj.FunctionCell(step, cell)


NORMS = {
    "none": lambda cell, gains, batch: cell,
    "layer, joint": layer_norm("joint"),
    "layer, separate": layer_norm("separate"),
    "layer, input": layer_norm("input"),
    "RMS, joint": rms_norm,
    "batch, separate": batch_norm("recurrent"),
    "batch, input": batch_norm("input"),
}
if TOY:
    NORMS = {name: NORMS[name] for name in ("none", "layer, joint", "layer, separate")}

# %% [markdown]
# ## How it is measured
#
# The loss is a random projection of the last state. The **rate** is by how much $\ln \lVert
# \partial L/\partial h_t \rVert$ changes per step *back* in time, over the middle of the sequence:
# below 0 gradients vanish, above 0 they explode. Each number is the mean over networks with weights
# and inputs of their own, with its standard error.


# %%
@eqx.filter_jit
def profiles(wrap, kind, gain, strength, gains, keys):
    """Return log ||dL/ds_t|| and the mean square of h, one row per network."""

    def one(key):
        key_cell, key_input, key_batch, key_loss = jr.split(key, 4)
        plain = fresh(key_cell, gain, strength, kind)
        cell = wrap(plain, gains, jr.normal(key_batch, (BATCH, STEPS, UNITS)))
        batched = isinstance(cell, vj.cells.BatchNormCell)
        state0 = (cell if batched else plain).initial_state()
        inputs, direction = jr.normal(key_input, (STEPS, UNITS)), jr.normal(key_loss, (UNITS,))

        def loss(states):
            return jnp.vdot(jax.tree.leaves(states)[0][-1], direction)

        h = jax.tree.leaves(vj.rollout(cell, state0, inputs).states)[0]
        log_norm = vj.gradient_profile(cell, state0, inputs, loss=loss).log_norm
        return log_norm, jnp.mean(h[STEPS // 4 :] ** 2)

    return jax.lax.map(one, keys)


@ft.cache
def measure(norm, strength, gamma=1.0, gamma_x=None, gain=1.0, kind=vj.cells.VanillaCell):
    """Return the rate of every network, and the mean square of their states."""
    gains = {"recurrent": gamma, "input": gamma if gamma_x is None else gamma_x}
    numbers = jax.tree.map(jnp.float32, (gain, strength, gains))  # of one type: compiled once
    log_norm, square = profiles(NORMS[norm], kind, *numbers, jr.split(jr.key(0), SEEDS))
    log_norm = np.asarray(log_norm, float)
    first, last = STEPS // 4, STEPS - STEPS // 8
    return (log_norm[:, first] - log_norm[:, last]) / (last - first), np.asarray(square)


def error(rates):
    """Return the standard error of a mean."""
    return np.std(rates, ddof=1) / np.sqrt(len(rates))


# %% [markdown]
# ## The strength of the input
#
# The same networks, $W$ of gain 1 and $\gamma = \gamma_x = 1$, with inputs from weak to strong.
# Marks are measured, lines the mean-field theory of wide networks (`vj.theory`), which knows
# nothing of these networks.


# %%
def predicted(norm, strength, gamma=1.0, gamma_x=None, gain=1.0):
    """Return the rate of infinitely many units."""
    s2, gamma_x = strength**2, gamma if gamma_x is None else gamma_x
    tanh = {"activation": "tanh", "gain": gain}
    separate = {"placement": "separate", "gain": gamma, "input_gain": gamma_x}
    joint = {"gain": gamma, "weight_gain": gain, "input_variance": s2}
    return {
        "none": lambda: theory.mean_field_exponent(**tanh, input_variance=s2),
        "layer, joint": lambda: theory.layer_norm_exponent(**joint),
        "RMS, joint": lambda: theory.rms_norm_exponent(**joint),
        "layer, separate": lambda: theory.layer_norm_exponent(**separate),
        "batch, separate": lambda: theory.batch_norm_exponent(**separate),
        "layer, input": lambda: theory.mean_field_exponent(**tanh, input_variance=gamma_x**2),
        "batch, input": lambda: theory.mean_field_exponent(**tanh, input_variance=gamma_x**2),
    }[norm]()


strengths = np.array([0.1, 1.0] if TOY else [0.1, 0.2, 0.4, 1.0, 1.7, 3.0])
swept = {norm: [measure(norm, s) for s in strengths] for norm in NORMS}

STYLES = {"none": ("black", "o"), "layer, joint": ("#D55E00", "s"), "RMS, joint": ("#E69F00", "x"),
          "layer, separate": ("#0072B2", "^"), "batch, separate": ("#56B4E9", "+"),
          "layer, input": ("#009E73", "D"), "batch, input": ("#CC79A7", "x")}  # fmt: skip
figure, ax = plt.subplots(figsize=(6.6, 4.2), layout="constrained")
fine = np.geomspace(strengths[0], strengths[-1], POINTS)
for norm, found in swept.items():
    color, marker = STYLES[norm]
    means = [rates.mean() for rates, _ in found]
    hollow = {"markerfacecolor": "none", "markersize": 8} if marker in "^Ds" else {}
    ax.plot(fine, [predicted(norm, s) for s in fine], color=color, linewidth=1)
    ax.plot(strengths, means, marker, color=color, label=norm, **hollow)
ax.axhline(0, color="gray", linewidth=1, linestyle=":")
ax.set(
    xscale="log",
    xlabel="standard deviation of $U x$ in a unit",
    ylabel="rate (nats per step)",
    title="Marks: measured; lines: theory",
)
ax.legend(title="normalization", fontsize="small", loc="lower left")
largest = max(
    abs(rates.mean() - predicted(norm, s))
    for norm, found in swept.items()
    for s, (rates, _) in zip(strengths, found, strict=True)
)
print(f"largest difference of a mean from its line: {largest:.3f} nats per step")

# %% [markdown]
# Three kinds of curve. *Joint* helps where the input is weak, at the left end so much that
# gradients even grow; where the input is strong it makes things **worse** than no normalization.
# *Separate* does not care about the input at all: gradients vanish at one rate. Normalizing the
# *input* alone chooses one point of the black curve: the one at which the input has strength
# $\gamma_x$. Whether the statistics are those of layer, batch or RMS hardly shows.
#
# ## Why: the recurrent share
#
# On its way back through a step a gradient is multiplied by $W^\top$, by the slopes of tanh, and
# by what the norm multiplies $W h$ with. If $Q$ is the variance of a pre-activation and $\rho$ the
# **share of it that is recurrent** (comes from $W h$ and not from $U x$), then for all placements
#
# $$\text{rate} = \tfrac12 \ln \rho + c(Q), \qquad c(Q) = \tfrac12 \ln \frac{Q\,\langle
# \tanh'^2\rangle_Q}{\langle\tanh^2\rangle_Q} \ge 0 .$$
#
# A norm can change nothing but these two numbers. It sets $Q$, and $c(Q)$ is small; but dividing by
# the standard deviation of a *sum* divides the recurrent part by what the input put there. Here is
# every mark of the figure above, $\rho$ and $Q$ taken from its own states:


# %%
def share_and_variance(norm, strength, square):
    """Return rho and Q of networks with W of gain 1 and gamma = 1."""
    driven = 1.0 if norm.endswith("input") else strength**2
    if norm.endswith("separate"):
        return 0.5, 2.0
    return square / (square + driven), 1.0 if norm.endswith("joint") else square + driven


def slope_square(x):
    """Return tanh'(x)^2."""
    return (1 - jnp.tanh(x) ** 2) ** 2


def tanh_square(x):
    """Return tanh(x)^2."""
    return jnp.tanh(x) ** 2


def c(Q):
    """Return what the nonlinearity does at variance Q of the pre-activations."""
    slope, square = (theory.gaussian_average(f, Q) for f in (slope_square, tanh_square))
    return float(0.5 * np.log(Q * slope / square))


figure, ax = plt.subplots(figsize=(6.0, 3.8), layout="constrained")
worst = 0.0
for norm, found in swept.items():
    color, marker = STYLES[norm]
    hollow = {"markerfacecolor": "none", "markersize": 8} if marker in "^Ds" else {}
    points = [
        share_and_variance(norm, s, q.mean()) for s, (_, q) in zip(strengths, found, strict=True)
    ]
    rest = [rates.mean() - c(Q) for (rates, _), (_, Q) in zip(found, points, strict=True)]
    ax.plot([rho for rho, _ in points], rest, marker, color=color, label=norm, **hollow)
    distance = np.array(rest) - np.log([rho for rho, _ in points]) / 2
    worst = max(worst, np.abs(distance).max())
line = np.geomspace(0.03, 1, 50)
ax.plot(line, np.log(line) / 2, color="gray", linewidth=1, label=r"$\frac{1}{2}\,\ln \rho$")
ax.set(
    xscale="log",
    xlabel=r"recurrent share $\rho$ of what tanh receives",
    ylabel="rate $- c(Q)$ (nats per step)",
    title="One curve for all placements",
)
ax.legend(fontsize="small", loc="upper left")
print(f"largest distance from the curve: {worst:.3f} nats per step")
print("c(Q):", ", ".join(f"{c(Q):.3f} at Q = {Q:g}" for Q in (0.1, 1.0, 2.0, 5.0)))

# %% [markdown]
# All lie on one curve. So the question to ask of a normalized recurrence is not whether it is
# normalized, but: of what is fed into the nonlinearity, how much is recurrent?
#
# ## What the gain does
#
# In the separate placement the sum of squares of $\gamma$ and $\gamma_x$ is $Q$, and their ratio
# sets the share. In the joint one $\gamma$ sets $Q$ and with it the size of the states, which is
# again a matter of share. Cooijmans et al. start recurrent batch normalization with $\gamma =
# \gamma_x = 0.1$, to keep tanh where it is steep.

# %%
gammas = np.array([0.1, 1.0] if TOY else [0.1, 0.3, 1.0, 2.0, 3.0])
curves = {
    r"joint, weak input ($s = 0.2$)": ("layer, joint", 0.2, 1.0),
    r"joint, strong input ($s = 1$)": ("layer, joint", 1.0, 1.0),
    r"separate, $\gamma_x = \gamma$": ("layer, separate", 1.0, 1.0),
    r"separate, $\gamma_x = \gamma/10$": ("layer, separate", 1.0, 0.1),
}
figure, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
fine = np.geomspace(gammas[0], gammas[-1], POINTS)
styles = ("o-", "s--", "^-.", "D:")
for (label, (norm, s, ratio)), style in zip(curves.items(), styles, strict=True):
    means = [measure(norm, s, g, g * ratio)[0].mean() for g in gammas]
    (mark,) = ax.plot(gammas, means, style[0], label=label)
    line = [predicted(norm, s, g, g * ratio) for g in fine]
    ax.plot(fine, line, style[1:], color=mark.get_color(), linewidth=1)
ax.axhline(0, color="gray", linewidth=1, linestyle=":")
ax.set(xscale="log", xlabel=r"$\gamma$", ylabel="rate (nats per step)", title="What the gain does")
ax.legend(fontsize="small", loc="lower right")

recommended = [n for n in ("batch, separate", "layer, separate") if n in NORMS][0]
for gamma, gamma_x in ((0.1, 0.1), (1.0, 1.0), (1.0, 0.1)):
    rates, _ = measure(recommended, 1.0, gamma, gamma_x)
    theirs = predicted(recommended, 1.0, gamma, gamma_x)
    print(
        f"{recommended}, gains {gamma:g} and {gamma_x:g}: "
        f"{rates.mean():+.3f} ± {error(rates):.3f}, theory {theirs:+.3f}"
    )

# %% [markdown]
# Small gains do no good by themselves. In the joint placement they make the states small beside the
# input. In the separate one half of what tanh receives is input, however little tanh bends it: in
# theory $-\frac12 \ln 2$ a step as both gains go to 0. (At 0.1 the networks measured here, of
# finite size, do a little better than that.) A larger *recurrent* gain, or a smaller one of the
# input, brings the rate to 0, and then above it: one number to tune, with a known zero.
#
# ## What normalization does not mend
#
# *Weights of the wrong size* it does mend, where it is $W h$ that is normalized. *Weights of low
# rank* it does not: a direction that $W$ has lost is multiplied by 0, whatever stands in front.

# %%
print(f"{'rate, input of strength 1':32}{'W of gain 1':>12}{'gain 3':>10}{'change':>10}")
for norm in NORMS:
    one, three = (measure(norm, 1.0, gain=g)[0] for g in (1.0, 3.0))
    row = f"{norm:32}{one.mean():+12.3f}{three.mean():+10.3f}{(three - one).mean():+10.3f}"
    print(row)
both = measure("layer, joint", 3.0, gain=3.0)[0] - measure("layer, joint", 1.0)[0]
print(f"layer, joint, U three times as large, too: change {both.mean():+.3f}")

# %% [markdown]
# Weights three times as large change nothing in the separate placement. In the joint one it is the
# *ratio* of $W$ and $U$ that counts, the share once more: make both three times as large and
# nothing changes. Normalizing the input alone leaves $W$ as it is. Now the rank, with the singular
# values of the product over 12 steps:

# %%
inputs = 0.3 * jr.normal(jr.key(3), (12, UNITS))


def low_rank(W, rank=8):
    """Return W with only its largest singular values, enlarged to the same norm."""
    u, s, v = jnp.linalg.svd(W)
    return (u[:, :rank] * s[:rank]) @ v[:rank] * jnp.sqrt(jnp.sum(s**2) / jnp.sum(s[:rank] ** 2))


plain = fresh(jr.key(0))
figure, ax = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
cells = {"none": plain, "layer, joint": vj.cells.LayerNormCell(plain)}
for (norm, cell), marker, color in zip(cells.items(), "os", ("C0", "C1"), strict=True):
    for rank, filled in ((UNITS, True), (8, False)):
        changed = cell if rank == UNITS else cell.map_recurrent(low_rank)
        chain = vj.linearize(changed, vj.rollout(changed, changed.initial_state(), inputs))
        decades = vj.log_singular_values(chain).log_singular_values / np.log(10)
        label = f"{norm}, rank {rank}"
        face = {} if filled else {"markerfacecolor": "white"}
        style = {"color": color, "markersize": 4, **face}
        ax.plot(np.arange(1, 41), decades[:40], marker, label=label, **style)
        print(f"{label:24}{np.sum(decades > -3):4d} directions keep more than a thousandth")
ax.axhline(-3, color="gray", linewidth=1, linestyle=":")
ax.set(
    xlabel="index $i$ (1 = largest), the first 40",
    ylabel=r"$\log_{10}\,\sigma_i$ after 12 steps",
    title="What is lost stays lost",
    ylim=(-8, None),
)
ax.legend(fontsize="small", loc="upper right")

# %% [markdown]
# Through a norm alone nothing is carried: of 256 directions at most 8 are left with it as without.
#
# ## LSTM and GRU
#
# In a gated cell the path that carries, $c$ or $z \odot h$, is not normalized itself. There is no
# theory here, only measured rates of the whole state; the LSTM has a forget bias of 1.

# %%
kinds = {"LSTM": vj.cells.LSTMCell, "GRU": vj.cells.GRUCell}
placements = ["none", "layer, joint", "layer, separate"]
if TOY:
    kinds, placements = {"plain": vj.cells.VanillaCell}, ["layer, joint"]
gated = {}
print(f"{'':22}" + "".join(f"{f'strength {s:g}':>18}" for s in (0.1, 1.0, 3.0)))
for kind in kinds:
    for norm in placements:
        for s in (0.1, 1.0, 3.0):
            gated[kind, norm, s] = measure(norm, s, kind=kinds[kind])[0]
        cells = (gated[kind, norm, s] for s in (0.1, 1.0, 3.0))
        row = "".join(f"{f'{r.mean():+.3f} ± {error(r):.3f}':>18}" for r in cells)
        print(f"{kind + ', ' + norm:22}" + row)

# %% [markdown]
# The pattern of the plain cell returns. *Separate* gives each cell one rate whatever the input, a
# little above 0 in the LSTM, below 0 in the GRU. *Joint* depends on the strength: it raises the
# LSTM's rate at all three, that of the GRU where the input is weak, and lowers it where the input
# is strong.
#
# ## And through depth?
#
# In a deep feed-forward network no input joins after the first layer: the share is 1, and the rate
# is $c$, which is not negative. There batch normalization makes gradients **explode**; see
# [page 14](14_deep_residual_net.ipynb) and [depth.md](../docs/guides/depth.md).

# %%
relu = theory.batch_norm_exponent(activation="relu", placement="joint", gain=1.0)
print(f"theory, ReLU with batch normalization: times {np.exp(relu):.3f} per layer")

# %% [markdown]
# ## The answer
#
# Every placement at several strengths of input, against none at the same strength. *Explodes*: a
# rate above 0 by more than 0.01 and two standard errors; else *helps* or *harms*: gradients change
# less, or more, per step than without it, by that much. The last column is the number of steps
# until a thousandth of a gradient is left.

# %%
shown = [s for s in (0.1, 0.4, 1.0, 3.0) if s in strengths]
rows = [(norm, s, ()) for norm in NORMS for s in shown]
rows += [(recommended, s, gains) for gains in ((0.1, 0.1), (1.0, 0.1)) for s in shown]
without = {s: measure("none", s)[0] for s in shown}


def verdict(rates, plain):
    """Return what a norm did, in a word."""
    margin = max(0.01, 2 * np.hypot(error(rates), error(plain)))
    if rates.mean() > max(0.01, 2 * error(rates)):
        return "explodes"
    gained = abs(plain.mean()) - abs(rates.mean())
    return "helps" if gained > margin else "harms" if gained < -margin else "no difference"


head = f"{'normalization':18}{'gains':>10}{'input':>7}{'measured':>18}{'theory':>9}"
print(f"{head}  {'':14}{'reach':>6}")
for norm, s, gains in rows:
    if s == shown[0]:
        print()
    rates, _ = measure(norm, s, *gains)
    found, theirs = f"{rates.mean():+.3f} ± {error(rates):.3f}", predicted(norm, s, *gains)
    word = "" if norm == "none" else verdict(rates, without[s])
    reach = theory.memory_horizon(float(rates.mean()))
    of_both = "{:g}, {:g}".format(*(gains or (1, 1)))
    print(f"{norm:18}{of_both:>10}{s:7g}{found:>18}{theirs:+9.3f}  {word:14}{reach:6.0f}")

# %% [markdown]
# So: *which placement* is the wrong question until one knows how strong the input is. Joint, the
# usual one, helps in the middle: input weaker than the recurrence, but not by much. With strong
# input it harms, and that is where gradients vanish fastest. The separate placement makes the rate
# independent of the size of weights and inputs, which is worth something; but that rate is not 0 by
# itself. Its gains have to be chosen: the figure of the gain shows two ways to 0, equal gains near
# 2, or small ones of which that of the input is smaller still. Normalizing the input alone helps
# where the input was stronger than $\gamma_x$, and harms where it was weaker.
#
# All of this is about wide tanh networks *before* training, with inputs without memory. Whether a
# network learns is for training to say.
#
# ## What to try
#
# - A tanh network with $\gamma = 2$ in the separate placement: mean-field theory has its rate at
#   0. How many *directions* does it keep over 200 steps?
# - `LayerNormCell(VanillaCell(1, n))` with a single input component: what does *separate* leave of
#   it?
# - Does it learn? `vj.compare(["tanh", "tanh+layernorm", "tanh+layernorm-separate",
#   "tanh+batchnorm"], "adding", length=50, seeds=5, num_updates=2000, key=...)`; and
#   [page 07](07_comparing_remedies.ipynb).
# - Normalization beside other claims about it, with verdicts: `vanishing-jax claims --only C21`.
#
# ## References
#
# - J. Ba, J. Kiros, G. Hinton: *Layer normalization*. arXiv 1607.06450, 2016.
# - S. Ioffe, C. Szegedy: *Batch normalization: accelerating deep network training by reducing
#   internal covariate shift*. ICML 2015.
# - C. Laurent et al.: *Batch normalized recurrent neural networks*. ICASSP 2016. The input alone.
# - T. Cooijmans et al.: *Recurrent batch normalization*. ICLR 2017.
# - B. Zhang, R. Sennrich: *Root mean square layer normalization*. NeurIPS 2019.
# - G. Yang et al.: *A mean field theory of batch normalization*. ICLR 2019.
