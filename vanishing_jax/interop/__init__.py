"""Weights and cells of other frameworks."""

from ._equinox import load_equinox as load_equinox
from ._flax import load_flax as load_flax
from ._haiku import load_haiku as load_haiku
from ._keras import load_keras as load_keras
from ._nnx import to_nnx as to_nnx
from ._onnx import load_onnx as load_onnx
from ._torch import load_torch as load_torch
