"""Clipping of the whole gradient."""

import optax

from ._mitigation import Mitigation
from ._transformation import transformation


def clip_by_global_norm(maximum: float = 1.0) -> Mitigation:
    r"""Return clipping of the gradient at a global norm: $g \min(1, c/\|g\|)$.

    The direction stays, the norm never grows, and the shares of early and late steps in it stay
    what they were: it prevents steps too large and cures no vanishing.

    **Arguments:**

    - `maximum`: c, the largest Euclidean norm over all parameters; 1 by default. It is data.

    **Returns:** a `Mitigation` with `gradient_transform` (`optax.clip_by_global_norm`).

    **Raises:** `ValueError` unless it is positive.

    ??? cite "Reference"
        ```bibtex
        @inproceedings{pascanu2013difficulty, title={On the difficulty of training recurrent neural
          networks}, author={Pascanu, Razvan and Mikolov, Tomas and Bengio, Yoshua},
          booktitle={ICML}, year={2013}}
        ```
    """
    _check(maximum)
    clip = transformation(optax.clip_by_global_norm, max_norm=maximum)
    return Mitigation(f"gradient clipped at global norm {maximum:g}", gradient_transform=clip)


def clip_by_value(maximum: float = 1.0) -> Mitigation:
    r"""Return clipping of each component of the gradient to [-maximum, maximum].

    The norm never grows; the direction changes, and small components gain in share.

    **Arguments:**

    - `maximum`: the largest absolute value; 1 by default. It is data.

    **Returns:** a `Mitigation` with `gradient_transform` (`optax.clip`).

    **Raises:** `ValueError` unless it is positive.

    ??? cite "Reference"
        ```bibtex
        @phdthesis{mikolov2012statistical, title={Statistical language models based on neural
          networks}, author={Mikolov, Tom{\'a}{\v{s}}}, school={Brno University of Technology},
          year={2012}}
        ```
    """
    _check(maximum)
    clip = transformation(optax.clip, max_delta=maximum)
    return Mitigation(f"gradient components clipped at {maximum:g}", gradient_transform=clip)


def _check(maximum: float) -> None:
    if not maximum > 0:
        raise ValueError(f"expected a positive maximum; got {maximum}.")
