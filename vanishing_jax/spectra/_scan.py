"""The product of a chain of Jacobians by one plain loop: for jit, vmap, grad and accelerators.

Forming J_T ... J_1 loses every singular value below eps times the largest one, and soon all of
them. Here it is kept factored, with its scale in an int32 exponent per row, so that nothing is
rounded away whatever the range: with a random orthogonal Q_0 (it does what column pivoting would)

    J_t ... J_1 Q_0 = Q_t diag(2^e_t) W_t,

W_t upper triangular with rows in [1, 2), Q_t = Pi L well conditioned, from one LU factorization
with partial pivoting per step, J_t Q_{t-1} = Q_t R_t. A row that is exactly zero has e = ZERO.

LU with partial pivoting forgives rows of any size, not columns (activation first; any adjoint chain
of a saturated network): mixing them buries small ones under the rounding of large ones. `balance`
moves their scales D_t, powers of two, to the rows of the Jacobian before:

    J'_t = 2^-s_t D_{t+1} J_t D_t^-1,  D_{T+1} = I,    so that J_T ... J_1 = 2^s J'_T ... J'_1 D_1.

That is exact, done for all times at once, and leaves one kind of step for every chain. D_1 acts
first, as J'_0. A column that is exactly zero has a row before it that counts for nothing: it is
scaled below all others, so that its pivot comes last; then the next factorization meets a column
that is exactly zero, and the rank is right.

??? cite "Reference"
    Stewart, G. W. (1997). On graded QR decompositions of products of matrices. ETNA 5, 29-49.
"""

import functools as ft
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from .._types import Array
from ._powers import ZERO, binary_exponent, pow2, times_pow2
from ._sweep import start_basis

# Powers of two by which columns may differ before they are balanced.
_UNEVEN = 3

# Per dtype, in powers of two: how far the rows of one Jacobian may differ; how far below the others
# rows go that count for nothing: beyond any lost pivot.
_ROWS = {"float64": 1020, "float32": 124}
_BELOW = {"float64": 80, "float32": 36}

# On CPUs larger matrices run faster one sequence after the other.
_TOGETHER_UP_TO = 32

# Accelerators would round the factors of a matrix product to fewer bits.
matmul = ft.partial(jnp.matmul, precision="highest")


class Product(NamedTuple):
    """J_T ... J_1 Q_0 = Q diag(2^e) W; only the diagonal of W where that is all that is needed."""

    basis: Float[Array, "*batch state state"]
    exponent: Int[Array, "*batch state"]
    W: Float[Array, "*shape"]


class Factors(NamedTuple):
    """A = Q R as LAPACK returns it: A[order] = L R, L below the diagonal of `packed`."""

    packed: Float[Array, "*time state state"]
    order: Int[Array, "*time state"]


def empty_product(n: int, dtype: Any, *, diagonal_only: bool = False) -> Product:
    """Return the product of no Jacobians: W = I in the basis Q_0."""
    W = jnp.ones(n, dtype) if diagonal_only else jnp.eye(n, dtype=dtype)
    return Product(jnp.asarray(start_basis(n), dtype), jnp.zeros(n, jnp.int32), W)


# --- balancing ------------------------------------------------------------------------------------


class Balanced(NamedTuple):
    """J'_t = diag(2^rows_t) J_t diag(2^-columns_t) for t = 0 ... T, with J_0 = I.

    `shift` is the sum of the s_t, which the exponents of the product lack. `resolved` is False
    where the rows of some Jacobian differ by more than the range of the floats.
    """

    jacobians: Float[Array, "steps state state"]
    rows: Int[Array, "steps state"]
    columns: Int[Array, "steps state"]
    shift: Int[Array, ""]
    resolved: Bool[Array, ""]


def balance(
    jacobians: Float[Array, "time state state"], count: Int[Array, ""] | int | None = None
) -> Balanced:
    """Return the balanced chain; from the given count on Jacobians are taken for the identity."""
    steps, n, _ = jacobians.shape
    eye, none = jnp.eye(n, dtype=jacobians.dtype), jnp.zeros((1, n), jnp.int32)
    if count is not None:
        there = jnp.arange(steps, dtype=jnp.asarray(count).dtype) < count
        jacobians = jnp.where(there[:, None, None], jacobians, eye)
    jacobians = jnp.concatenate([eye[None], jacobians])
    size, columns, zero = _sizes(jacobians)
    following = jnp.concatenate([columns[1:], none])
    idle = jnp.concatenate([zero[1:], none.astype(bool)])  # what comes next does not look at them
    counts = ~idle & (size != ZERO)
    highest = jnp.max(size + following, axis=1, where=counts, initial=ZERO)
    lowest = jnp.min(size + following, axis=1, where=counts, initial=-ZERO)
    nothing = ~jnp.any(counts, axis=1)
    highest, lowest = jnp.where(nothing, 0, highest), jnp.where(nothing, 0, lowest)
    below = lowest[:, None] - _BELOW[jacobians.dtype.name] - jnp.where(size == ZERO, 0, size)
    following = jnp.where(idle, below, following)
    # The size of the Jacobian itself goes into the exponents: rows lie on both sides of 1.
    shift = (highest + lowest) // 2
    rows = following - shift[:, None]
    scaled = times_pow2(times_pow2(jacobians, -columns[:, None, :]), rows[:, :, None])
    columns = jnp.where(zero, jnp.concatenate([none, following[:-1]]), columns)
    resolved = jnp.all(highest - lowest <= _ROWS[jacobians.dtype.name])
    return Balanced(scaled, rows, columns, jnp.sum(shift, dtype=jnp.int32), resolved)


def _sizes(jacobians):
    """Return exponents of rows, of columns of the row-equilibrated Jacobians (0 where even); zeros.

    The largest entry of a row lies in a column of exponent 0, so that scaling the columns leaves
    rows their sizes. No column is called zero where all are: there is nothing to be kept apart.
    """
    rows = binary_exponent(jnp.max(jnp.abs(jacobians), axis=2))
    inverse = jnp.maximum(jnp.where(rows == ZERO, 0, -rows), jnp.finfo(jacobians.dtype).minexp)
    scaled = jacobians * pow2(inverse, jacobians.dtype)[:, :, None]
    columns = binary_exponent(jnp.max(jnp.abs(scaled), axis=1))
    zero = columns == ZERO
    largest = jnp.max(columns, axis=1, keepdims=True)
    smallest = jnp.min(jnp.where(zero, -ZERO, columns), axis=1, keepdims=True)
    even = largest - smallest <= _UNEVEN
    return rows, jnp.where(even | zero, 0, columns), zero & (largest != ZERO)


# --- the loop -------------------------------------------------------------------------------------


def multiply(product: Product, jacobian: Float[Array, "state state"]) -> tuple[Product, Factors]:
    """Return the product with one more balanced Jacobian on its left, and the factors of the step.

    **Cost:** two matrix products of size n and an LU factorization.
    """
    return refactored(product, matmul(jacobian, product.basis))


def refactored(product: Product, A: Float[Array, "state state"]) -> tuple[Product, Factors]:
    """Return the product with Q replaced by A, its basis that of A = Q R."""
    lu, _, order = jax.lax.linalg.lu(A)
    factors = Factors(lu, order)
    rows = absorb(jnp.triu(lu), product.exponent, product.W)
    return Product(basis_of(factors), *rows), factors


def basis_of(factors: Factors) -> Float[Array, "state state"]:
    """Return Q = Pi L."""
    n = len(factors.order)
    index = jnp.arange(n, dtype=factors.order.dtype)
    place = jnp.zeros_like(index).at[factors.order].set(index, unique_indices=True)
    return (jnp.tril(factors.packed, -1) + jnp.eye(n, dtype=factors.packed.dtype))[place]


def absorb(
    R: Float[Array, "state state"],
    exponent: Int[Array, "state"],
    W: Float[Array, "state *columns"] | None,
) -> tuple[Int[Array, "state"], Float[Array, "state *columns"]]:
    """Return (e', W') with diag(2^e') W' = R diag(2^e) W; each row of W' is scaled into [1, 2).

    Right for every R and every range of exponents; expects rows of W scaled like those it returns,
    zero where e = ZERO. W may be its diagonal alone; None stands for the identity.
    """
    if W is not None and W.ndim == 1:
        reach = exponent
        product = jnp.diagonal(R) * W
        size = jnp.abs(product)
    else:
        # What has a zero in it stays far below all that has none.
        reach = jnp.max(binary_exponent(R) + exponent[None, :], axis=1)
        C = R * pow2(exponent[None, :] - reach[:, None], R.dtype)
        product = jnp.where((exponent == ZERO)[None, :], 0, C) if W is None else matmul(C, W)
        size = jnp.max(jnp.abs(product), axis=1)
    k = binary_exponent(size)
    scale = jnp.where(k == ZERO, 0, pow2(-k, R.dtype)).reshape(-1, *[1] * (product.ndim - 1))
    return jnp.where(k == ZERO, ZERO, reach + k), product * scale


def product_of(
    jacobians: Float[Array, "time state state"], *, diagonal_only: bool
) -> tuple[Product, Bool[Array, ""]]:
    """Return the product of a chain, and whether the range of the floats held it."""
    chain = balance(jacobians)
    start = empty_product(jacobians.shape[-1], jacobians.dtype, diagonal_only=diagonal_only)
    product, _ = jax.lax.scan(lambda p, J: (multiply(p, J)[0], None), start, chain.jacobians)
    return shifted(product, chain.shift), chain.resolved


def shifted(product: Product, shift: Int[Array, ""]) -> Product:
    """Return 2^shift times the product."""
    e = product.exponent
    return product._replace(exponent=jnp.where(e == ZERO, ZERO, e + shift))


# --- batches, for the host ------------------------------------------------------------------------


class Swept(NamedTuple):
    """Products of a batch of chains so far, and the sum of squares of what factorizations lost."""

    product: Product
    loss: Float[Array, "batch"]


def begin_batch(batch: int, n: int, dtype: Any = jnp.float64) -> Swept:
    """Return the empty products of so many chains."""
    one = empty_product(n, dtype)
    product = jax.tree.map(lambda x: jnp.broadcast_to(x, (batch, *x.shape)), one)
    return Swept(product, jnp.zeros(batch, dtype))


@ft.partial(jax.jit, static_argnames=("per_factorization",))
def sweep_batch(
    swept: Swept,
    jacobians: Float[Array, "batch time state state"],
    count: Int[Array, ""] | int,
    *,
    per_factorization: int = 1,
) -> Swept:
    """Return the products with the first `count` Jacobians of a stretch on their left.

    Stretches of one padded length are one program, whatever the length of the chain. Each is
    balanced by itself: its D_1 acts on the basis as on Q_0. `per_factorization` Jacobians are
    multiplied between two factorizations; whether that was too many the loss must tell.

    The loss of one factorization is the largest of |pivot| / row size over the smallest, the size
    being that of the pivot's row in the last Jacobian: how many times rounding is amplified. Its
    squares add up like independent errors; inf where a pivot was lost to cancellation.

    **Cost:** per Jacobian one matrix product; per factorization one more and an LU factorization.
    """
    over = ft.partial(_sweep, count=jnp.asarray(count), per=per_factorization)
    if jacobians.shape[-1] <= _TOGETHER_UP_TO:
        return jax.vmap(over)(swept, jacobians)
    return jax.lax.map(lambda both: over(*both), (swept, jacobians))


def _sweep(swept, jacobians, count, per):
    chain = balance(jacobians, count)
    n = jacobians.shape[-1]
    rest = jnp.broadcast_to(jnp.eye(n, dtype=jacobians.dtype), (per - 1, n, n))
    J = jnp.concatenate([chain.jacobians, rest])

    def body(i, swept):
        product, loss = swept
        A = product.basis
        for j in range(per):  # beyond the count they are the identity
            A = matmul(J[i * per + j], A)
        last = chain.jacobians[jnp.minimum((i + 1) * per - 1, count)]
        after, factors = refactored(product, A)
        return Swept(after, loss + _square_of_loss(product, A, factors, last))

    # Together with D_1 there is one matrix more than the count.
    product, loss = jax.lax.fori_loop(0, count // per + 1, body, swept)
    loss = jnp.where(chain.resolved, loss, jnp.inf)
    return Swept(shifted(product, chain.shift), loss)


def _square_of_loss(before, A, factors, last):
    pivot = jnp.abs(jnp.diagonal(factors.packed))
    size = jnp.max(jnp.abs(last), axis=1)[factors.order]
    exact = (pivot == 0) & ((size == 0) | jnp.all(A == 0, axis=0))
    dead = exact | (before.exponent == ZERO)
    ratio = pivot / jnp.where(size > 0, size, 1)
    largest = jnp.max(jnp.where(dead, 0, ratio))
    return jnp.square(largest / jnp.min(jnp.where(dead, jnp.inf, ratio)))
