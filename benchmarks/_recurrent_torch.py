"""The networks of `_recurrent` in PyTorch, on one thread."""

import numpy as np
import torch
from _recurrent import LEARNING_RATE, Case, Step, Weights

torch.set_num_threads(1)
_LAYERS = {"tanh": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


def network(case: Case, w: Weights) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Return the recurrent layer and the readout, with these weights."""
    layer = _LAYERS[case.cell](case.input, case.hidden)
    readout = torch.nn.Linear(case.hidden, 1)
    second = np.zeros_like(w.bias)
    if case.cell == "gru":
        second[2 * case.hidden :] = w.bias_n
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.from_numpy(w.weight_hh))
        layer.weight_ih_l0.copy_(torch.from_numpy(w.weight_xh))
        layer.bias_ih_l0.copy_(torch.from_numpy(w.bias))
        layer.bias_hh_l0.copy_(torch.from_numpy(second))
        readout.weight.copy_(torch.from_numpy(w.readout))
        readout.bias.zero_()
    return layer, readout


def loss_of(layer, readout, inputs, targets):
    """Return the mean squared error; `inputs` are `time batch input`."""
    outputs, _ = layer(inputs)
    return (readout(outputs[-1]) - targets).square().mean()


def _time_major(inputs):
    return torch.from_numpy(np.array(inputs)).swapaxes(0, 1).contiguous()


def torch_step(case: Case, w: Weights, inputs, targets) -> Step:
    """Return a step of mean squared error and Adam."""
    layer, readout = network(case, w)
    optimizer = torch.optim.Adam([*layer.parameters(), *readout.parameters()], lr=LEARNING_RATE)
    inputs, targets = _time_major(inputs), torch.from_numpy(np.array(targets))

    def gradients():
        optimizer.zero_grad()
        value = loss_of(layer, readout, inputs, targets)
        value.backward()
        return value

    def call():
        value = gradients()
        optimizer.step()
        return value.item()

    value = gradients().item()
    grad = {name: p.grad.numpy().copy() for name, p in layer.named_parameters()}
    found = {
        "weight_hh": grad["weight_hh_l0"],
        "weight_xh": grad["weight_ih_l0"],
        "bias": grad["bias_ih_l0"],
        "readout": readout.weight.grad.numpy().copy(),
    }
    if case.cell == "gru":
        found["bias_n"] = grad["bias_hh_l0"][2 * case.hidden :]
    call()  # makes the optimizer's state
    return Step(call, value, found, None)


def train(case: Case, w: Weights, batches: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Train on these batches, drawn beforehand; return the mean loss over the second half."""
    layer, readout = network(case, w)
    _train_one_bias(layer, case)
    parameters = [*layer.parameters(), *readout.parameters()]
    optimizer, total = torch.optim.Adam(parameters, lr=LEARNING_RATE), torch.zeros(())
    half = len(batches) // 2
    for number, (inputs, targets) in enumerate(batches):
        optimizer.zero_grad()
        loss = loss_of(layer, readout, inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if number >= half:
            total += loss.detach()
    return total.item() / (len(batches) - half)


def _train_one_bias(layer: torch.nn.Module, case: Case) -> None:
    """Leave the second of two biases that add up as it is, so that runs can be compared.

    Of a GRU the third of it that stands inside the reset is a parameter of its own.
    """
    if case.cell != "gru":
        layer.bias_hh_l0.requires_grad_(False)
        return
    trained = torch.zeros(3 * case.hidden)
    trained[2 * case.hidden :] = 1
    layer.bias_hh_l0.register_hook(lambda gradient: gradient * trained)


def batches_of(pairs) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return (inputs, targets), `batch time input` and `batch`, as `train` takes them."""
    return [(_time_major(x), torch.from_numpy(np.array(y))[:, None]) for x, y in pairs]
