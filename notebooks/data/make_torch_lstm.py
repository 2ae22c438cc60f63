"""Trains the LSTM of page 11 in PyTorch and saves it, as a PyTorch user would.

    python notebooks/data/make_torch_lstm.py      (needs torch)

The adding problem over 200 steps, torch's own initialization, Adam, 1000 updates.
The file is small and committed, so that the page runs without torch.
"""

import pathlib

import torch
from safetensors.torch import save_file

TARGET = pathlib.Path(__file__).parent / "torch_lstm.safetensors"
LENGTH, HIDDEN, BATCH, UPDATES = 200, 32, 32, 1000


class Model(torch.nn.Module):
    """An LSTM and a linear readout of its last hidden vector."""

    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.LSTM(2, HIDDEN, batch_first=True)
        self.head = torch.nn.Linear(HIDDEN, 1)

    def forward(self, inputs):
        """Return one number per sequence."""
        return self.head(self.rnn(inputs)[0][:, -1])[:, 0]


def sample():
    """Return sequences of (number in [0, 1], marker) and the sum of the two marked numbers.

    One marker lies in each half, as in `vj.tasks.Adding`.
    """
    numbers, markers = torch.rand(BATCH, LENGTH), torch.zeros(BATCH, LENGTH)
    rows = torch.arange(BATCH)
    first = torch.randint(0, LENGTH // 2, (BATCH,))
    second = torch.randint(LENGTH // 2, LENGTH, (BATCH,))
    markers[rows, first] = markers[rows, second] = 1
    return torch.stack([numbers, markers], dim=2), (numbers * markers).sum(1)


def main():
    """Train and save."""
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for update in range(1, UPDATES + 1):
        inputs, targets = sample()
        loss = torch.nn.functional.mse_loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if update % 250 == 0:
            print(f"update {update}: loss {loss.item():.3f}")
    save_file(model.state_dict(), TARGET)


if __name__ == "__main__":
    main()
