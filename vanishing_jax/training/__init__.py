"""Training: a cell with a readout, the loop that trains it, and what the loop records."""

from ._evaluate import evaluate as evaluate
from ._history import History as History
from ._model import SequenceModel as SequenceModel
from ._model import readout_loss as readout_loss
from ._train import train as train
