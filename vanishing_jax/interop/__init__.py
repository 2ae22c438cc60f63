"""Weights and cells of other frameworks."""

from ._torch import load_torch as load_torch
