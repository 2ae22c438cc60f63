"""Spectral norms of many matrices at once, by matrix-vector products."""

import numpy as np
from jaxtyping import Float

# Lanczos steps before the first look at the residual.
_STEPS = 6


def spectral_norms(
    matrices: Float[np.ndarray, "record state state"],
    guess: Float[np.ndarray, "record state"],
    tolerance: float,
) -> tuple[
    Float[np.ndarray, "record"], Float[np.ndarray, "record"], Float[np.ndarray, "record state"]
]:
    """Return the spectral norm of each matrix, its relative error, and the right singular vector.

    Golub-Kahan-Lanczos from a guess, restarted from the result with twice the steps as long as the
    residual asks for it; with n steps it is a full bidiagonalization. A guess that is a singular
    vector itself would end it at once: it needs a share of everything.

    ??? cite "Reference"
        Golub, G. and Kahan, W. (1965). Calculating the singular values and pseudo-inverse of a
        matrix. SIAM J. Numer. Anal. 2, 205-224.
    """
    count, n = guess.shape
    norms, error, vectors = np.zeros(count), np.zeros(count), guess.copy()
    active = np.flatnonzero(np.any(matrices != 0, axis=(1, 2)))
    steps = _STEPS
    while active.size:
        some = matrices if active.size == count else matrices[active]
        steps = min(steps, n)
        norms[active], error[active], vectors[active] = _lanczos(some, vectors[active], steps)
        active = active[error[active] > tolerance]
        if steps == n:
            break
        steps *= 2
    return norms, error, vectors


def _lanczos(matrices, start, steps: int):
    """Return the largest Ritz value of each matrix, its relative error, and its right vector."""
    count, n = start.shape
    V, U = np.zeros((count, steps + 1, n)), np.zeros((count, steps, n))
    B = np.zeros((count, steps, steps + 1))
    V[:, 0] = _unit(start)[0]
    for i in range(steps):
        image = np.matmul(matrices, V[:, i, :, None])[..., 0]
        U[:, i], B[:, i, i] = _new_direction(image, U[:, :i])
        if i:  # what the recurrence of the bidiagonal says is what the projection took away
            B[:, i - 1, i] = np.sum(image * U[:, i - 1], axis=1)
        back = np.matmul(U[:, i, None, :], matrices)[:, 0]
        V[:, i + 1], B[:, i, i + 1] = _new_direction(back, V[:, : i + 1])
    residual = B[:, -1, -1].copy()
    left, sigma, right = np.linalg.svd(B[:, :, :-1])
    top = sigma[:, 0]
    relative = residual * np.abs(left[:, -1, 0]) / np.where(top > 0, top, 1)
    second = sigma[:, 1] if steps > 1 else np.zeros(count)
    gap = 1 - (second / np.where(top > 0, top, 1)) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.fmin(relative, 4 * relative**2 / gap)
    return top, error, np.matmul(right[:, :1], V[:, :-1])[:, 0]


def _new_direction(vectors, basis):
    """Return each vector less its part along the basis (rows), scaled to norm 1, and its norm.

    Both are 0 where nothing but rounding is left: that points anywhere, also along the basis, and
    would count one singular value twice.
    """
    rest = vectors
    for _ in range(2):
        along = np.matmul(basis, rest[..., None])
        rest = rest - np.matmul(np.swapaxes(basis, 1, 2), along)[..., 0]
    size = np.linalg.norm(vectors, axis=1)
    is_rounding = np.linalg.norm(rest, axis=1) <= 8 * np.finfo(np.float64).eps * size
    return _unit(np.where(is_rounding[:, None], 0, rest))


def _unit(vectors):
    """Return the vectors scaled to norm 1 (or 0) and their norms."""
    norms = np.linalg.norm(vectors, axis=1)
    return vectors / np.where(norms > 0, norms, 1)[:, None], norms
