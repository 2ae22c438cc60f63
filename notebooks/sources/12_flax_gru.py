# %% [markdown]
# # A live Flax GRU on handwritten digits
#
# [Open in Colab][colab] (there, first `%pip install vanishing-jax[notebooks]`)
#
# [colab]: https://colab.research.google.com/github/vanishing-jax/vanishing_jax/blob/main/notebooks/12_flax_gru.ipynb
#
# **What you will learn:** how to diagnose a Flax module as it stands in your program, without
# exporting anything; how to change its update gate; and how to watch what *training* does to the
# reach of the gradients, which need not be what the start suggests.
#
# The network reads a digit one pixel per step, 64 steps, the pixels in one fixed random order, so
# that the evidence is spread over the whole sequence. Then it names the digit.

# %%
import os

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from flax import nnx
from matplotlib import pyplot as plt

import vanishing_jax as vj
from vanishing_jax.training import SequenceModel, readout_loss

TOY = "VANISHING_JAX_TOY" in os.environ  # the tests run this page small
UPDATES, BATCH = (2, 4) if TOY else (300, 64)
DIAGNOSED, STEPS = (4, 12) if TOY else (64, 64)  # sequences, and steps of each

task = vj.tasks.digits(permuted=True)
inputs, targets = task.test[0][:DIAGNOSED, :STEPS], task.test[1][:DIAGNOSED]

figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.4), width_ratios=(1, 2.4), layout="constrained")
order = np.argsort(np.random.RandomState(1).permutation(64))  # back to rows and columns
axes[0].imshow(task.test[0][0, order, 0].reshape(8, 8), cmap="gray_r")
axes[0].set(title=f"the digit {task.test[1][0]}", xticks=[], yticks=[])
axes[1].step(np.arange(1, 65), task.test[0][0, :, 0])
axes[1].set(title="what the network reads", xlabel="step", ylabel="pixel, standardized")
# %% [markdown]
# ## Diagnose the module as it is
#
# `FlaxCell` takes a live module, of Linen or NNX. Flax calls it as `module(carry, input)` and
# gets `(carry, output)` back; the carry is the state that gradients have to pass through.

# %%
HIDDEN = 64
gru = nnx.GRUCell(1, HIDDEN, rngs=nnx.Rngs(0))


def with_readout(module):
    """Put a linear readout on top of what the module remembers at the end."""
    return SequenceModel(vj.FlaxCell(module), task.output_size, key=jr.key(0))


def diagnose(model):
    """Carry the gradient of the classification loss back through the network."""
    return vj.diagnose(model.cell, inputs, loss=readout_loss(model, task, targets))


before = diagnose(with_readout(gru))
print(before)

# %% [markdown]
# In Flax's GRU the update gate $z$ keeps the state, $h' = z h + (1 - z)\,n$, and a new one starts
# with bias 0: half of the state is gone after each step. Where you see "update gate" among the
# causes, that is what was tried: its bias shifted, and the gradient carried back again over the
# same images.

# %%
axes = vj.plots.plot_effects(before)

# %% [markdown]
# ## Change the update gate
#
# The module is a live object, so one line of NNX does it. Flax keeps the three input biases in
# one vector, in the order $r, z, n$. We try one bias for all units, and a spread of biases that
# gives every unit a time scale of its own, between 1 and 64 steps (chrono initialization).


# %%
def with_update_bias(value):
    """Return the same GRU with this bias of its update gate."""
    module = nnx.clone(gru)
    bias = module.dense_i.bias
    bias[...] = bias[...].at[HIDDEN : 2 * HIDDEN].set(value)
    return module


time_scales = jr.uniform(jr.key(1), (HIDDEN,), minval=1.0, maxval=task.length - 1.0)
starts = {
    "as Flax makes it": with_readout(gru),
    "update bias 2": with_readout(with_update_bias(2.0)),
    "chrono": with_readout(with_update_bias(jnp.log(time_scales))),
}
diagnosed = {name: diagnose(model) for name, model in starts.items()}
axes = vj.plots.plot_gradient_by_lag(diagnosed)

# %% [markdown]
# At the start all is as the theory of gates has it: the more the gate keeps, the farther the
# gradient reaches.
#
# ## Train, and diagnose again
#
# Training goes through the module as well: `FlaxCell` is a pytree of its variables.

# %%
optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3))
trained, curves = {}, {}
for name, start in starts.items():
    trained[name], curves[name] = vj.train(
        start,
        task,
        num_updates=UPDATES,
        batch_size=BATCH,
        optimizer=optimizer,
        record_every=2 if TOY else 20,
        progress=False,
        key=jr.key(2),
    )

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for (name, history), style in zip(curves.items(), ("-", "--", ":"), strict=True):
    ax.plot(history.step, history.metric, style, linewidth=2, label=name)
ax.set(xlabel="updates", ylabel="accuracy on training batches", ylim=(0, 1), title="Learning")
ax.legend()
# %%
print(f"{'':18}{'horizon in steps':^24}   accuracy on")
print(f"{'':18}{'at the start':>12}{'trained':>12}   {len(task.test[1])} unseen digits")
after = {name: diagnose(model) for name, model in trained.items()}
for name, model in trained.items():
    accuracy = float(task.metric(jax.vmap(model)(task.test[0]), task.test[1]))
    error = (accuracy * (1 - accuracy) / len(task.test[1])) ** 0.5
    begin, end = (d[name].horizon for d in (diagnosed, after))
    print(f"{name:18}{begin:12.0f}{end:12.0f}   {accuracy:.1%} ± {error:.1%}")
axes = vj.plots.plot_gradient_by_lag(after)

# %% [markdown]
# Look at the line of the GRU as Flax makes it. Its gradient reached back over a fifth of the
# image, and yet it learned; and when it had learned, its gradient reached over the whole. The
# last pixels say something about the digit, so there was a gradient to begin with, and what it
# taught first was to keep. Compare the adding problem on the [page
# before](11_pytorch_lstm.ipynb): there the end of the sequence alone says nothing, no such first
# step exists, and a start that does not reach far enough stays where it is.
#
# So the diagnosis of a start says what the first updates can hear. Whether that is enough depends
# on the task; diagnose the trained network too.
#
# ## What to try
#
# - Your own module: `vj.diagnose(vj.FlaxCell(module), inputs)`, or `FlaxCell(module, variables)`
#   for Linen.
# - An update bias of 4. The gradient reaches farther still; is it better?
# - `vj.tasks.digits(permuted=False)`: row by row the last rows tell much more. What changes?
# - `record=("gradient_profile",)` in `vj.train` and `vj.plots.plot_gradient_history` show the
#   opening of the gate update by update.
#
# ## References
#
# - K. Cho et al.: *Learning phrase representations using RNN encoder-decoder for statistical
#   machine translation*. EMNLP 2014. The GRU.
# - C. Tallec, Y. Ollivier: *Can recurrent neural networks warp time?* ICLR 2018. Chrono
#   initialization.
# - E. Alpaydin, C. Kaynak: *Optical recognition of handwritten digits*. UCI Machine Learning
#   Repository, 1998. The images.
