# %% [markdown]
# # Case study: a network that fails on handwritten digits
#
# [Open in Colab][colab] (there, first `%pip install vanishing-jax[notebooks]`)
#
# [colab]: https://colab.research.google.com/github/vanishing-jax/vanishing_jax/blob/main/notebooks/08_case_study_digits.ipynb
#
# **What you will learn:** how to go from "it does not learn" to a network that does, one measured
# step at a time: diagnose, change what the diagnosis blames, measure again, train again, and
# notice when vanishing gradients are *no longer* the problem.
#
# The data are the 1797 scanned digits of 8 × 8 pixels that come with scikit-learn, read one pixel
# at a time: 64 steps, and only then the answer. The goal: more than 90 % of the held-out digits.

# %%
import os

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
import optax
from matplotlib import pyplot as plt

import vanishing_jax as vj
from vanishing_jax.training import SequenceModel, readout_loss

TOY = "VANISHING_JAX_TOY" in os.environ  # the tests run this page small
UNITS, UPDATES, SEEDS, SHOWN = (4, 2, 2, 2) if TOY else (32, 600, 4, 32)
task = vj.tasks.digits()
images, labels = task.test

figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.2), width_ratios=(1, 4), layout="constrained")
axes[0].imshow(images[0].reshape(8, 8), cmap="gray")
axes[0].set(title=f"a {labels[0]}", xticks=[], yticks=[])
axes[1].step(np.arange(1, 65), images[0, :, 0], where="mid")
axes[1].set(title="what the network sees", xlabel="step", ylabel="pixel, standardized")
print(f"{len(images)} held-out digits, {np.bincount(labels).max()} of them of the largest class")

# %% [markdown]
# ## It fails
#
# A tanh network, all weights drawn as `0.01 * normal`, and plain gradient descent: two defaults
# that many first programs have.

# %%
SGD = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.01))
ADAM = SGD if TOY else optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3))


def careless(seed):
    """Return a tanh network with tiny weights, and a linear readout of its last state."""
    key_cell, key_hh, key_xh, key_readout = jr.split(jr.key(seed), 4)
    cell = vj.cells.VanillaCell(1, UNITS, key=key_cell)
    tiny = (0.01 * jr.normal(key_hh, (UNITS, UNITS)), 0.01 * jr.normal(key_xh, (UNITS, 1)))
    cell = eqx.tree_at(lambda c: (c.weight_hh, c.weight_xh), cell, tiny)
    return SequenceModel(cell, task.output_size, key=key_readout)


def train(model, optimizer, *, seed=0, updates=UPDATES):
    """Return the trained model and its history."""
    return vj.train(
        model,
        task,
        num_updates=updates,
        batch_size=64,
        optimizer=optimizer,
        record_every=1 if TOY else 50,
        record=("update_ratio",),
        progress=False,
        key=jr.key(100 + seed),
    )


@eqx.filter_jit
def accuracy(model):
    """Return the share of held-out digits that are named right."""
    return task.metric(jax.vmap(model)(images), labels)


model = careless(0)
curves, trained = {}, {}


def attempt(name, model, optimizer):
    """Train, keep the curve and the model, and say how far it came."""
    trained[name], curves[name] = train(model, optimizer)
    loss, share = curves[name].loss[-1], float(accuracy(trained[name]))
    print(f"{name}: loss {loss:.2f}, {share:.0%} of the held-out digits right")


attempt("tiny weights, SGD", model, SGD)
print(f"loss without any memory: {task.baseline:.2f}; of equal odds: {np.log(10):.2f}")

# %% [markdown]
# Nine per cent is chance, and the loss is still that of equal odds. Is the learning rate too small,
# is the training too short, is there a bug? Before trying all of that, ask whether any gradient
# arrives.
#
# ## Diagnose it
#
# Before training, on a few held-out digits, with the task's own loss.


# %%
def diagnose(model):
    """Carry the gradient of the task's loss back through the network."""
    loss = readout_loss(model, task, labels[:SHOWN])
    return vj.diagnose(model.cell, images[:SHOWN], loss=loss)


diagnosis = diagnose(model)
print(diagnosis.details())

# %%
figure = diagnosis.plot()

# %% [markdown]
# *Top left:* the gradient falls by the same factor in each step and is below a thousandth of its
# start after three. Of 64 pixels the weights hear from the last few, at the lower edge of the
# image. *Bottom left:* the same between any two steps; only next to the diagonal is it white. *Top
# right:* it is not that the loss asks for an unlucky direction of the state, for none survives.
#
# Why? The printed line on `tanh` says that no unit is saturated, so the textbook cause, small
# derivatives, is not it. *Bottom right* shows each possible cause, put to the test: one change, and
# the gradient carried back again. "Activation linearized" takes the small derivatives away, and
# changes nothing. Orthogonal recurrent weights bring the rate to 0.
#
# ## First attempt: the optimizer
#
# The usual reflex is to leave the network as it is and take a better optimizer.

# %%
attempt("tiny weights, Adam", model, ADAM)
after = diagnose(trained["tiny weights, Adam"])
print(f"rate before {diagnosis.rate:+.3f}, after {after.rate:+.3f} nats per step")

# %% [markdown]
# Much better, and not good. The second line tells how it got there: Adam moves each weight by
# about the learning rate whatever the size of its gradient, and so has changed the recurrent
# weights until most of the gradient came through. That part of training went into repairing the
# initialization.
#
# ## Second attempt: what the diagnosis says
#
# Of the remedies that it names two change the network for good, a normalization and a skip
# connection. Orthogonal recurrent weights change only where training starts. The rest stays as it
# was, and so does gradient descent.

# %%
orthogonal = vj.mitigations.orthogonal()


def repaired(seed):
    """Return the careless network with orthogonal recurrent weights."""
    model = careless(seed)
    cell = orthogonal.transform_cell(model.cell, key=jr.key(200 + seed))
    return eqx.tree_at(lambda m: m.cell, model, cell)


healthy = diagnose(repaired(0))
print(f"{healthy.verdict}: {healthy.reason}")
axes = vj.plots.plot_gradient_by_lag({"tiny weights": diagnosis, "orthogonal weights": healthy})
attempt("orthogonal, SGD", repaired(0), SGD)

# %% [markdown]
# The gradient now reaches the first pixel. And the network is still far from the goal: the cause
# that was found was real, but not the only one. What does a second look say?

# %%
print(diagnose(trained["orthogonal, SGD"]))

# %% [markdown]
# *Healthy.* This is a result, too: whatever is wrong now is not a vanishing gradient, and no gate,
# skip or normalization is called for on that account. So look at the next suspect. By how much
# does an update change the recurrent weights?


# %%
def change_per_update(history):
    """Return the median over training of ||change|| / ||W||, for the recurrent weights."""
    (column,) = [i for i, x in enumerate(history.labels["update_ratio"]) if "weight_hh" in x]
    return np.median(history.records["update_ratio"][:, column])


attempt("orthogonal, Adam", repaired(0), ADAM)
for name, history in curves.items():
    print(f"{name:20} {change_per_update(history):.1e} of the recurrent weights per update")

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for (name, history), style in zip(curves.items(), (":", "-.", "--", "-"), strict=True):
    ax.plot(history.step, history.loss, style, linewidth=2, label=name)
ax.axhline(task.baseline, color="gray", linewidth=1, label="without memory")
ax.set(xlabel="updates", ylabel="loss", title="Four attempts", ylim=(0, 2.5))
ax.legend()

# %% [markdown]
# Gradient descent changes the orthogonal weights by a thousandth per update, Adam by more than
# twice as much. Whether that is the second cause, only training can say, and it says so: alone,
# either remedy named little more than half of the digits, together they name 87 %. Each had been
# held back by what the other one repairs.
#
# ## Third attempt: longer, or another cell
#
# The solid line still falls when training ends, so the plainest next step is to go on: three times
# the updates. The other is a cell made for keeping, an LSTM with chrono initialization, whose
# units keep for 1 to 64 steps.
#
# One network proves little. So here is everything again from four seeds, none left out; the first
# seed of each row of the tanh networks is the one that this page has followed.

# %%
FAST = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))


def gated(seed):
    """Return an LSTM whose units keep for 1 to 64 steps (chrono initialization)."""
    key_cell, key_chrono, key_readout = jr.split(jr.key(300 + seed), 3)
    cell = vj.cells.LSTMCell(1, UNITS, key=key_cell)
    cell = vj.mitigations.chrono(task.length).transform_cell(cell, key=key_chrono)
    return SequenceModel(cell, task.output_size, key=key_readout)


variants = {
    "tiny weights, SGD": (careless, SGD, 1),
    "tiny weights, Adam": (careless, ADAM, 1),
    "orthogonal, SGD": (repaired, SGD, 1),
    "orthogonal, Adam": (repaired, ADAM, 1),
    "orthogonal, Adam, 3 x as long": (repaired, ADAM, 3),
    "LSTM, chrono, Adam": (gated, FAST, 1),
}
scores = {}
for name, (make, optimizer, stretch) in list(variants.items())[: 1 if TOY else None]:
    ended = [
        train(make(seed), optimizer, seed=seed, updates=stretch * UPDATES)[0]
        for seed in range(SEEDS)
    ]
    scores[name] = np.array([float(accuracy(model)) for model in ended])
    shares = ", ".join(f"{share:.0%}" for share in scores[name])
    print(f"{name:30} {shares}; above the goal: {np.sum(scores[name] > 0.9)} of {SEEDS}")

# %%
figure, ax = plt.subplots(figsize=(6.8, 3.4), layout="constrained")
for row, shares in enumerate(scores.values()):
    ax.plot(100 * shares, row + np.linspace(-0.15, 0.15, SEEDS), "o", color="C0")
ax.axvline(90, color="C2", linestyle="--", label="goal")
ax.axvline(10, color="gray", linestyle=":", label="chance")
ax.set_yticks(range(len(scores)), scores)
ax.invert_yaxis()
ax.set(xlabel="held-out digits named right (%)", title="Every seed", xlim=(0, 100))
ax.legend(loc="lower left")

# %% [markdown]
# The network of this page went from 9 % of the digits to 57 % with another optimizer alone, to 53 %
# with other initial weights alone, to 87 % with both, and to 91 % with three times the updates:
# the goal. Both causes were real, in all four seeds: the first three rows and the last three do
# not overlap.
#
# Not every seed gets there. Of the networks that train longer one stays below the goal, of the
# LSTMs one as well, after a third of the updates. Between these two rows there is no winner: of
# 300 digits a share near 90 % is known to three points or so, and seeds differ by more. What
# *cannot* be said is that gates were needed: gradients vanished here for where the weights
# started, and once that was repaired a plain tanh network kept them.
#
# ## What to try
#
# - `careless` with `1.0 * normal`: `vj.diagnose` finds the opposite disease. Which remedies does it
#   name, and do they help?
# - `vj.tasks.digits(permuted=True)`: the same pixels in one fixed shuffled order.
# - Leaky units, which the first diagnosis names as well: `vj.mitigations.leaky(0.1)`.
# - From a shell, with a report: `vanishing-jax demo`.
#
# ## References
#
# - E. Alpaydin, C. Kaynak: *Optical recognition of handwritten digits*. UCI Machine Learning
#   Repository, 1998.
# - A. Saxe, J. McClelland, S. Ganguli: *Exact solutions to the nonlinear dynamics of learning in
#   deep linear neural networks*. ICLR 2014. Orthogonal initial weights.
# - D. Kingma, J. Ba: *Adam: a method for stochastic optimization*. ICLR 2015.
# - C. Tallec, Y. Ollivier: *Can recurrent neural networks warp time?* ICLR 2018. Chrono
#   initialization.
