"""Log singular values of a product of float matrices, exact but for the last rounding.

A float is an integer times a power of two, so a product of float matrices is an integer matrix P
times a power of two and can be had without any rounding. From there:

1. the rank is that of the integer matrix: exact zeros are counted, not guessed from a threshold;
2. pivoted Cholesky of the integer Gram matrix P^T P = R^T R, in ball arithmetic whose precision is
   doubled until every entry of R is known to 2^-300 of its row's pivot;
3. one-sided Jacobi on the rows of R, again in balls: the singular values of a row-graded triangle
   are the norms of its rows once those are orthogonal, each to full relative accuracy.

The radius of the last balls certifies the result, together with the rows' remaining coupling.

By python-flint a product of 2000 matrices of size 32 takes seconds.
"""

import hashlib
import itertools
import math
import pathlib
from collections.abc import Iterable, Iterator

import flint
import numpy as np

_KNOWN_BITS = 300  # of R relative to its pivots
_JACOBI_BITS = 512
_ORTHOGONAL = 2.0**-90  # coupling of two rows that counts as none
_CERTIFIED = 1e-20  # largest radius of a log that is returned


def exact_log_singular_values(jacobians: np.ndarray) -> np.ndarray:
    """Return the natural logs of the singular values of J_T ... J_1, descending.

    Accurate to the rounding of the result to float64; -inf exactly as often as the rank of the
    product, an integer computation, says. `jacobians` has shape (time, state, state); float32 input
    is taken as it is (every float32 is a float64).
    """
    (logs,) = exact_log_singular_values_at(jacobians, [len(jacobians)])
    return logs


def exact_log_singular_values_at(
    jacobians: np.ndarray, lags: Iterable[int]
) -> Iterator[np.ndarray]:
    """Yield the log singular values of J_lag ... J_1 for each of the ascending lags.

    The products share their factors: cheaper than one call per lag.
    """
    jacobians = np.asarray(jacobians, np.float64)
    if not np.isfinite(jacobians).all():
        raise ValueError("expected finite Jacobians; got a NaN or infinite entry.")
    n = jacobians.shape[-1]
    product, exponent, done = flint.fmpz_mat(n, n, np.eye(n, dtype=int).ravel().tolist()), 0, 0
    for lag in lags:
        if lag > done:
            factor, shift = _product(jacobians[done:lag])
            product, exponent, done = factor * product, exponent + shift, lag
        logs = [_to_float(log, exponent) for log in _log_singular_values_of_integers(product, n)]
        yield np.array(sorted(logs, reverse=True) + [-np.inf] * (n - len(logs)))


class References:
    """Exact log singular values, kept in files between runs when a folder is given."""

    def __init__(self, folder: pathlib.Path | None):
        self.folder = folder

    def at(self, jacobians, lags, direction="forward") -> np.ndarray:
        """Return the log singular values at each lag, (lag, state); backward keeps the end."""
        if direction == "backward":  # the same singular values from the other end
            jacobians = jacobians.transpose(0, 2, 1)[::-1]
        if self.folder is None:
            return np.stack(list(exact_log_singular_values_at(jacobians, lags)))
        content = np.ascontiguousarray(jacobians).tobytes() + repr(list(lags)).encode()
        path = self.folder / f"{hashlib.sha256(content).hexdigest()[:24]}.npy"
        if path.exists():
            return np.load(path)
        result = np.stack(list(exact_log_singular_values_at(jacobians, lags)))
        self.folder.mkdir(parents=True, exist_ok=True)
        np.save(path, result)
        return result


def exact_log_growth(jacobians: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return log |R_ii| of the QR factorization of J_T ... J_1 Q_0, in the order of its columns.

    This is what a QR factorization at every step adds up, for the same `start` Q_0. A column that
    depends on those before it gives -inf, exactly. From minors of the integer Gram matrix.
    """
    n = jacobians.shape[-1]
    P, exponent = _product(np.concatenate([np.asarray(start, np.float64)[None], jacobians]))
    gram = P.transpose() * P
    growth, columns, previous = np.full(n, -np.inf), [], 1
    for k in range(n):
        columns.append(k)
        entries = [gram[i, j] for i in columns for j in columns]
        minor = flint.fmpz_mat(len(columns), len(columns), entries).det()
        if minor == 0:
            columns.pop()
        else:
            growth[k] = _to_float(_log_ratio(minor, previous), 2 * exponent) / 2
            previous = minor
    return growth


def exact_log_determinants(jacobians: np.ndarray) -> np.ndarray:
    """Return log |det J_t| for each t, -inf where it is exactly 0."""
    return np.array([_log_determinant(J) for J in np.asarray(jacobians, np.float64)])


def _log_determinant(J):
    entries, low = _integers(J)
    n = len(J)
    determinant = abs(flint.fmpz_mat(n, n, entries).det())
    return _to_float(_log_ratio(determinant), n * low) if determinant else -np.inf


def _integers(J):
    """Return J as integers M and k with J = M 2^k."""
    mantissa, exponent = np.frexp(J)
    mantissa = (mantissa * 2.0**53).astype(np.int64).ravel().tolist()
    exponent = (exponent.ravel() - 53).tolist()
    low = min((e for m, e in zip(mantissa, exponent, strict=True) if m), default=0)
    return [m << (e - low) if m else 0 for m, e in zip(mantissa, exponent, strict=True)], low


def _product(jacobians):
    """Return J_T ... J_1 as an integer matrix and a power of two, by a balanced tree."""
    factors, total = [], 0
    n = jacobians.shape[-1]
    for J in jacobians:
        entries, low = _integers(J)
        factors.append(flint.fmpz_mat(n, n, entries))
        total += low
    while len(factors) > 1:
        pairs = zip(factors[1::2], factors[::2], strict=False)
        odd = [factors[-1]] if len(factors) % 2 else []
        factors = [later * earlier for later, earlier in pairs] + odd
    return factors[0], total


def _log_ratio(a, b=1):
    with flint.ctx.workprec(256):
        return flint.arb(a).log() - flint.arb(b).log()


def _to_float(log, exponent):
    """Return log + exponent ln 2 as a float; both may be much larger than their sum."""
    with flint.ctx.workprec(256):
        total = log + exponent * flint.arb(2).log()
        if float(total.rad()) > _CERTIFIED * max(1.0, abs(float(total.mid()))):
            raise ArithmeticError(f"the reference is not certified: {total}.")
        return float(total.mid())


def _log_singular_values_of_integers(P, n):
    """Return the logs of the nonzero singular values of the integer matrix, in any order."""
    rank, gram, bits = _rank(P, n), P.transpose() * P, 512
    while True:
        with flint.ctx.workprec(bits):
            R = _cholesky(gram, n, rank)
        if R is not None:
            break
        bits *= 2
    bits = _JACOBI_BITS
    while True:
        with flint.ctx.workprec(bits):
            logs = _jacobi(R, n)
        if all(float(log.rad()) < _CERTIFIED for log in logs):
            return logs
        if bits > 2**14:
            raise ArithmeticError("one-sided Jacobi did not certify its result.")
        bits *= 2


# The largest primes below 2^61, 2^62 and 2^63.
_PRIMES = (2**61 - 1, 2**62 - 57, 2**63 - 25)


def _rank(P, n):
    """Return the rank modulo three large primes, the largest of the three.

    Modulo a prime it can only fall, and does so for at most one in 10^11 primes of this size, so
    the largest is the rank. Elimination in integers takes hours where P has 10^5 bits and rank < n.
    """
    rank = 0
    for prime in _PRIMES:
        residues = flint.nmod_mat(n, n, [int(x % prime) for x in P.entries()], prime)
        rank = max(rank, residues.rank())
        if rank == n:
            break
    return rank


def _cholesky(gram, n, rank):
    """Return `rank` rows of R with P^T P = R^T R, columns permuted; None if bits do not suffice."""
    G = [[flint.arb(gram[i, j]) for j in range(n)] for i in range(n)]
    order, rows = list(range(n)), []
    for _ in range(rank):
        pivot = max(order, key=lambda i: _float_log2(G[i][i]))
        d = G[pivot][pivot]
        if not d > 0 or d.rel_accuracy_bits() < _KNOWN_BITS:
            return None
        order.remove(pivot)
        root = d.sqrt()
        row = [flint.arb(0)] * n
        row[pivot] = root
        for j in order:
            row[j] = G[pivot][j] / root
            # An entry may be tiny or 0; what counts is its error relative to the row's pivot.
            if _float_log2(row[j].rad()) > _float_log2(root) - _KNOWN_BITS:
                return None
        for i, j in itertools.combinations_with_replacement(order, 2):
            G[i][j] = G[j][i] = G[i][j] - row[i] * row[j]
        rows.append(row)
    return rows


def _float_log2(x):
    """Return log2 of the middle of a ball as a float, -inf for zero or less; any exponent."""
    mantissa, exponent = x.mid().man_exp()
    mantissa = int(mantissa)
    if mantissa <= 0:
        return -math.inf
    bits = mantissa.bit_length()
    return float(exponent) + bits + math.log2(mantissa / (1 << bits))


def _jacobi(R, n):
    """Return the logs of the singular values of R by one-sided Jacobi on its rows."""
    rows = [list(row) for row in R]
    for _ in range(60):
        squares = [_dot(row, row) for row in rows]
        order = sorted(range(len(rows)), key=lambda i: -_float_log2(squares[i]))
        rows = [rows[i] for i in order]
        if not _sweep(rows):
            break
    else:
        raise ArithmeticError("one-sided Jacobi did not converge in 60 sweeps.")
    # Rows with coupling eps give singular values with relative error at most n eps.
    blur = flint.arb(0, n * _ORTHOGONAL)
    return [_dot(row, row).log() / 2 + blur for row in rows]


def _sweep(rows):
    """Rotate every pair of rows that is not orthogonal; return how many there were."""
    rotations = 0
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            u, v = rows[i], rows[j]
            alpha, beta, gamma = _dot(u, u), _dot(v, v), _dot(u, v)
            if abs(gamma).upper() <= _ORTHOGONAL * (alpha * beta).sqrt().lower():
                continue
            rotations += 1
            zeta = (beta - alpha) / (2 * gamma)
            t = 1 / (abs(zeta) + (1 + zeta * zeta).sqrt())
            t = -t if zeta < 0 else t
            # A rotation by an inexact angle is still one when c and s come from the same t: the
            # middle of t is taken as the angle, so that no ball grows by its uncertainty.
            t = t.mid()
            c = (1 + t * t).rsqrt()
            s = c * t
            rows[i] = [c * a - s * b for a, b in zip(u, v, strict=True)]
            rows[j] = [s * a + c * b for a, b in zip(u, v, strict=True)]
    return rotations


def _dot(u, v):
    total = u[0] * v[0]
    for a, b in zip(u[1:], v[1:], strict=True):
        total += a * b
    return total
