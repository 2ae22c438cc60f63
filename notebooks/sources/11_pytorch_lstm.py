# %% [markdown]
# # A PyTorch LSTM that does not learn
#
# [Open in Colab][colab] (there, first `%pip install vanishing-jax[notebooks]`)
#
# [colab]: https://colab.research.google.com/github/vanishing-jax/vanishing_jax/blob/main/notebooks/11_pytorch_lstm.ipynb
#
# **What you will learn:** how to take an LSTM that was trained in PyTorch, find out from its
# weights whether gradients reach the inputs that matter, change the one thing that stops them,
# and check by training that the change was worth it. PyTorch itself is not needed here.
#
# The network was trained on the *adding problem*: a sequence of 200 random numbers, two of them
# marked, one in each half; the answer is the sum of the two. Whoever ignores the sequence can do
# no better than to answer 1 each time. [make_torch_lstm.py](data/make_torch_lstm.py) is the
# training script, and its last line is all that a PyTorch user has to add:
# `safetensors.torch.save_file(model.state_dict(), "model.safetensors")`.

# %%
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from matplotlib import pyplot as plt
from safetensors.numpy import load_file

import vanishing_jax as vj
from vanishing_jax.training import SequenceModel, readout_loss

TOY = "VANISHING_JAX_TOY" in os.environ  # the tests run this page small
LENGTH, UPDATES, SEQUENCES = (12, 2, 4) if TOY else (200, 900, 64)

# %% [markdown]
# ## Load it
#
# `load_torch` finds the recurrent layer in the state dict and reads off the shapes that it is an
# LSTM. The linear head is two plain arrays.

# %%
FILE = "data/torch_lstm.safetensors"
weights = load_file(FILE)
for name, array in weights.items():
    print(f"{name:20} {array.shape}")

cell = vj.interop.load_torch(FILE, prefix="rnn.")
task = vj.tasks.Adding(LENGTH)
model = eqx.tree_at(
    lambda m: (m.weight, m.bias),
    SequenceModel(cell, task.output_size, key=jr.key(0)),
    (jnp.asarray(weights["head.weight"]), jnp.asarray(weights["head.bias"])),
)

inputs, targets = task.sample(jr.key(1), SEQUENCES)
loss = task.loss(jax.vmap(model)(inputs), targets)
print(f"\nloss of the trained network:   {loss:.3f}")
print(f"loss of answering 1 each time: {task.baseline:.3f}")

# %% [markdown]
# The network has learned nothing. Was the training too short, or can it not learn this at all?
#
# ## Diagnose it
#
# The loss depends on the last state. How much does it depend on the state 10, 100, 200 steps
# earlier? If the answer is "not at all", no gradient tells the weights what to do with those
# inputs.


# %%
def diagnose(model):
    """Carry the gradient of the task's own loss back through the network."""
    return vj.diagnose(model.cell, inputs, loss=readout_loss(model, task, targets))


before = diagnose(model)
print(before)

# %%
figure = before.plot()

# %% [markdown]
# Top left is the answer: the gradient falls along a straight line, that is, by the same factor in
# each step, and is gone long before it reaches the first half of the sequence, where one of the
# two numbers stands. Bottom left shows the same from any step to any other: only a thin band
# along the diagonal is left. Top right are *all* directions of the state, not only the one the
# loss asks for: none of them gets through.
#
# Bottom right is the reason, measured and not looked up: each row changes one thing about this
# network and carries the gradient back again, over the same sequences. Opening the forget gate by
# 2 helps, as do a skip connection through time and a layer normalization; those change the
# architecture, the gate's bias is only a different start.
#
# ## Repair it
#
# With bias $b$ and nothing else a forget gate stands at $f = \sigma(b)$ and keeps the cell for
# about $-1/\ln f$ steps. PyTorch draws all biases around 0. Two repairs:
#
# - *forget bias 3* for every unit;
# - *chrono*: each unit gets a time scale of its own, drawn between 1 and the length of the
#   sequences, and opens its input gate the less, the longer it keeps.

# %%
for bias in (0.0, 1.0, 3.0, 5.0):
    print(f"bias {bias}: keeps for {-1 / jnp.log(jax.nn.sigmoid(bias)):.1f} steps")

# %%
repairs = {
    "forget bias 3": vj.mitigations.forget_bias(3.0),
    "chrono": vj.mitigations.chrono(LENGTH),
}
models = {"as trained": model}
for name, repair in repairs.items():
    changed = repair.transform_cell(model.cell, key=jr.key(2))
    models[name] = eqx.tree_at(lambda m: m.cell, model, changed)

diagnoses = {name: before if name == "as trained" else diagnose(m) for name, m in models.items()}
for name, d in diagnoses.items():
    print(f"{name:14} {d.verdict:12} {d.rate:+.3f} ± {d.rate_error:.3f} nats per step")
axes = vj.plots.plot_gradient_by_lag(diagnoses)

# %% [markdown]
# Both bring the gradient of the last step back to the first. Neither knows anything new yet: the
# weights are those that failed. But now there is something to learn from.
#
# ## Train on
#
# The same optimizer, the same data, for all three.

# %%
optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3))
trained, curves = {}, {}
for name, start in models.items():
    trained[name], curves[name] = vj.train(
        start,
        task,
        num_updates=UPDATES,
        batch_size=32,
        optimizer=optimizer,
        record_every=2 if TOY else 30,
        progress=False,
        key=jr.key(3),
    )

figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for (name, history), style in zip(curves.items(), ("-", "--", ":"), strict=True):
    ax.plot(history.step, history.loss, style, linewidth=2, label=name)
ax.axhline(task.baseline, color="gray", linewidth=1, label="answering 1 each time")
ax.set(yscale="log", xlabel="updates", ylabel="squared error", title="Training on")
ax.legend()

fresh_inputs, fresh_targets = task.sample(jr.key(4), SEQUENCES)
for name, m in trained.items():
    print(f"{name:14} loss {task.loss(jax.vmap(m)(fresh_inputs), fresh_targets):.4f} on fresh data")

# %% [markdown]
# Chrono learns the task; the network as it was trained goes nowhere, as before. The third curve
# is the one to remember: with a forget bias of 3 the gradient reaches the first step just as
# well, and yet within these updates nothing is learned. A gradient that arrives is necessary; it
# is not sufficient. What a remedy is worth is measured by training (`vj.compare`), what it does
# to the gradient by `diagnose`.
#
# ## What to try
#
# - Your own network: save its `state_dict()` as above, give `load_torch` the file, and a batch of
#   your sequences to `diagnose`. Without Python: `vanishing-jax diagnose model.safetensors
#   --inputs x.npy --html report.html`.
# - Another bias: `forget_bias(1.0)` is the usual advice. How far does it carry?
# - More updates for the forget bias of 3: does it learn later, or not at all?
# - Several seeds: `vj.compare(["lstm+forget-bias=0", "lstm+chrono"], "adding", length=200, ...)`.
#
# ## References
#
# - S. Hochreiter, J. Schmidhuber: *Long short-term memory*. Neural Computation 9(8), 1997. The
#   LSTM and the adding problem.
# - F. Gers, J. Schmidhuber, F. Cummins: *Learning to forget*. Neural Computation 12(10), 2000.
#   The forget gate.
# - R. Jozefowicz, W. Zaremba, I. Sutskever: *An empirical exploration of recurrent network
#   architectures*. ICML 2015. The forget bias of 1.
# - C. Tallec, Y. Ollivier: *Can recurrent neural networks warp time?* ICLR 2018. Chrono
#   initialization.
