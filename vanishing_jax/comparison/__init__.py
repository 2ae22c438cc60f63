"""Comparison of remedies by training: recipes put a cell, mitigations and an optimizer together."""

from . import recipes as recipes
from ._train import train as train
