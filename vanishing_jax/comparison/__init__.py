"""Comparison of remedies by training: recipes put a cell, mitigations and an optimizer together."""

from . import recipes as recipes
from ._compare import compare as compare
from ._phase_diagram import phase_diagram as phase_diagram
from ._table import comparison_table as comparison_table
from ._train import train as train
from ._trainability_map import trainability_map as trainability_map
