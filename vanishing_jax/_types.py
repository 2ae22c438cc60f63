"""Array aliases and the words that name axes throughout the package.

| axis word | what it counts |
|---|---|
| `time` | steps t = 1..T of a recurrence |
| `time_plus_one` | the T + 1 states s_0..s_T |
| `batch` | sequences |
| `state` | components n of the whole carried state as one real vector (an LSTM's (h, c): n = 2H) |
| `input` | components of one step's input |
| `hidden` | units H of one layer |
| `output` | components of an activation that a layer gives |
| `direction` | the k directions of a partial spectrum |
| `vector`, `pair` | k covariant vectors; neighboring two of them |
| `record` | the times at which something was recorded: lags, windows, training steps |
"""

from typing import Any, TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array
ArrayLike: TypeAlias = jax.Array | np.ndarray
PyTree: TypeAlias = Any
Key: TypeAlias = jax.Array
