"""Networks: recurrent layers on top of one another, in one direction or both."""

from ._network import Part as Part
from ._network import RecurrentNetwork as RecurrentNetwork
from ._trajectory import NetworkTrajectory as NetworkTrajectory
