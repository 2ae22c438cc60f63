"""Mitigations: remedies as records of pure hooks, composed by `chain`."""

from ._chrono import chrono as chrono
from ._clipping import clip_by_global_norm as clip_by_global_norm
from ._clipping import clip_by_value as clip_by_value
from ._critical import critical as critical
from ._forget_bias import forget_bias as forget_bias
from ._initial_state_noise import initial_state_noise as initial_state_noise
from ._initialization import glorot as glorot
from ._initialization import he as he
from ._initialization import identity as identity
from ._initialization import normal as normal
from ._initialization import orthogonal as orthogonal
from ._mitigation import Mitigation as Mitigation
from ._mitigation import chain as chain
from ._recurrent_learning_rate import recurrent_learning_rate as recurrent_learning_rate
from ._singular_value_band import singular_value_band as singular_value_band
from ._skip import leaky as leaky
from ._skip import residual as residual
from ._soft_orthogonality import soft_orthogonality as soft_orthogonality
from ._state_gradient_clipping import clip_state_gradient as clip_state_gradient
from ._truncation import truncate as truncate
from ._weight_decay import weight_decay as weight_decay
