"""Mitigations: remedies as records of pure hooks, composed by `chain`."""

from ._clipping import clip_by_global_norm as clip_by_global_norm
from ._clipping import clip_by_value as clip_by_value
from ._gates import chrono as chrono
from ._gates import forget_bias as forget_bias
from ._initial_state_noise import initial_state_noise as initial_state_noise
from ._initialization import critical as critical
from ._initialization import glorot as glorot
from ._initialization import he as he
from ._initialization import identity as identity
from ._initialization import normal as normal
from ._initialization import orthogonal as orthogonal
from ._mitigation import Mitigation as Mitigation
from ._mitigation import chain as chain
from ._orthogonality import singular_value_band as singular_value_band
from ._orthogonality import soft_orthogonality as soft_orthogonality
from ._updates import recurrent_learning_rate as recurrent_learning_rate
from ._updates import weight_decay as weight_decay
from ._wrappers import clip_state_gradient as clip_state_gradient
from ._wrappers import leaky as leaky
from ._wrappers import residual as residual
from ._wrappers import truncate as truncate
