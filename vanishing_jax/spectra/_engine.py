"""The walk along a chain: as many steps per factorization as the tolerance allows.

A factorization costs several times what a step costs, and a product of a few Jacobians can be
factored at once as long as rounding, amplified by the growth of that factorization, stays within
the tolerance. How many depends on the chain and changes along it, so the interval is controlled
like the step size of an ODE solver: a factorization whose growth is too large is rejected and
repeated over fewer steps. A single step that grows too much is multiplied exactly (`_graded`).

Everything here is written for one chain; a batch is the same under vmap or map (`run_batch`), each
sequence with its own interval.
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from .._types import Array, ArrayLike
from ._compile import filter_jit
from ._factorization import cholesky, factor
from ._finish import log_growth_of, log_singular_values_of
from ._graded import GradedProduct, identity, multiply, multiply_exactly
from ._history import (
    History,
    add_cut,
    amplified_loss,
    end_block,
    no_history,
    spread_of,
    whole_product,
)
from ._rarely import rarely
from ._source import Source

# More steps are never taken at once: each adds its own rounding, and little is left to gain.
MAX_INTERVAL = 64

# Growth of a single step from which the exact multiplication may pay: rounding by 1e-12.
EXACT_FROM = 2.0**12

# It pays where the bound then counts less. Where it does not (a large step, nearly singular, of
# even columns), only steps that grow more by this factor are tried again, up to the limit.
_EXACT_GAIN, _EXACT_ALWAYS_FROM = 4.0, 2.0**20

# An exact step loses this times n times the root of their number, in units of its growth, by
# experiment: the conditions of such steps are spread so widely that the worst of k steps is about k
# times as bad as the usual one, while the sum of squares of their growths knows the usual ones.
_EXACT_LOSS = 1 / 2

# What a factorization loses, in units of eps and of its growth, by experiment: alone; and of
# several steps, whose growth is that of their product and overstates what rounding does to it, by
# the less the smaller it is.
_LOST_SINGLY, _LOST_TOGETHER, _USUAL_GROWTH = 32.0, 5.0, 2.0**8

# Amplification that leaves the allowed growth as it is.
_USUAL_SPREAD = 10.0

# What the steps up to a stop may lose, amplified, over the allowed growth: with the factors of
# `_error_bound.allowed_growth` half of the tolerance. Where they lose more they are walked
# again, to lose this share of it.
_ROOM, _LESS = 32.0, 0.5

# A batch is walked again as a whole if one sequence has to be, so its sequences are walked with
# less growth from the start: the growth allowed over this.
_CAUTION = 128.0

# Factorizations for which the interval stays below the one rejected last.
_HOLD = 16

# The share of what earlier factorizations left of the allowed growth that one may use.
_CREDIT = 0.25

# Bits by which an interval to be tried should stay below what is allowed.
_MARGIN = 3

# The entries of A, row by row, must stay inside this range for steps to be taken together.
_LARGEST, _SMALLEST = 2.0**400, 2.0**-400

Quantity = Literal["singular values", "growth"]
Method = Literal["lu", "cholesky"]


class Walk(NamedTuple):
    """Where the walk is, and how it fared.

    `lag`: steps taken; `interval`: steps to try next, at most `cap` for the next `hold` times;
    `factorizations`, `rejections`, `exact_steps`: counts; `failed`: a Jacobian is not finite.
    `exact_from`: growth of a single step from which it is multiplied exactly.
    `lost`: sum of squares of what factorizations lost, in units of eps, each weighted with the
    number of steps it took; `spread`: by how much that is amplified, lately.
    `history`: blocks and cuts so far; `product` is what was walked since the last block's end. None
    where only the diagonal of the triangle is kept, and the product is never divided.
    """

    product: GradedProduct
    lag: Int[Array, ""]
    interval: Int[Array, ""]
    cap: Int[Array, ""]
    hold: Int[Array, ""]
    factorizations: Int[Array, ""]
    rejections: Int[Array, ""]
    exact_steps: Int[Array, ""]
    failed: Bool[Array, ""]
    exact_from: Float[Array, ""]
    lost: Float[Array, ""]
    spread: Float[Array, ""]
    history: History | None


class Stops(NamedTuple):
    """The ascending lags at which a walk stops, and what it does there.

    `record`: write down the logs; `block`: begin a new block; `cut`: put it aside, too, at a
    block's end. The first `count` stops are visited.
    """

    lag: Int[ArrayLike, "stop"]
    record: Bool[ArrayLike, "stop"]
    block: Bool[ArrayLike, "stop"]
    cut: Bool[ArrayLike, "stop"]
    count: Int[ArrayLike, ""]


class Records(NamedTuple):
    """The logs wanted at each recorded lag, what was lost until then, and whether the logs fit.

    `amplified`: what was lost, as it was amplified later, in units of eps; 0 without a history.
    """

    logs: Float[Array, "*batch record state"]
    growth: Float[Array, "*batch record state"]
    resolved: Bool[Array, "*batch record"]
    amplified: Float[Array, "*batch record"]


class Unfinished(NamedTuple):
    """What records are made of, by `finish_records`."""

    product: GradedProduct
    amplified: Float[Array, "*batch record"]


@filter_jit
def finish_records(records: Unfinished, *, quantity: Quantity) -> Records:
    """Return the records that `run` left unfinished, of any leading axes."""
    products, axes = records.product, records.amplified.shape
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(axes) :]), products)
    logs, resolved = jax.lax.map(_finish(quantity), flat)
    resolved = resolved.reshape(axes)
    return Records(logs.reshape(*axes, -1), products.growth, resolved, records.amplified)


def start(n: int, dtype, *, quantity: Quantity) -> Walk:
    """Return the walk at lag 0."""
    product = identity(n, dtype, diagonal_only=quantity == "growth")
    history = no_history(n, dtype) if quantity == "singular values" else None
    zero, one = jnp.zeros((), jnp.int32), jnp.ones((), jnp.int32)
    cap = jnp.full((), MAX_INTERVAL, jnp.int32)
    failed, exact_from = jnp.zeros((), bool), jnp.full((), EXACT_FROM, dtype)
    lost, spread = jnp.zeros((), dtype), jnp.ones((), dtype)
    counts = zero, one, cap, zero, zero, zero, zero
    return Walk(product, *counts, failed, exact_from, lost, spread, history)


@filter_jit
def run(
    walk: Walk,
    source: Source,
    stops: Stops,
    limit: Float[ArrayLike, ""],
    *,
    quantity: Quantity,
    method: Method = "lu",
    finish_apart: bool = False,
) -> tuple[Walk, Records | Unfinished]:
    """Walk to each stop in turn; do there what it asks for.

    `limit` is the growth allowed to one factorization, over the square root of its steps; 0 takes
    every step on its own. With `finish_apart` the records are for `finish_records`.
    """
    return _run(walk, source, stops, limit, quantity, method, finish_apart)


@filter_jit
def run_batch(
    walks: Walk,
    source: Source,
    stops: Stops,
    limit: Float[ArrayLike, ""],
    *,
    quantity: Quantity,
    together: bool,
    method: Method = "lu",
    finish_apart: bool = False,
) -> tuple[Walk, Records | Unfinished]:
    """Run a batch, each sequence with its own interval: `together` (vmap) or one by one (map).

    Every leaf of `walks`, and of the walks and records returned, has a leading batch axis.
    """
    own, common = source.split()

    def one(walk, own):
        source = eqx.combine(own, common)
        return _run(walk, source, stops, limit, quantity, method, finish_apart, _CAUTION)

    if together:
        return jax.vmap(one)(walks, own)
    return jax.lax.map(lambda pair: one(*pair), (walks, own))


def _run(walk, source, stops, limit, quantity, method, finish_apart, caution=1.0):
    num_records, n, dtype = len(stops.lag), walk.product.frame.shape[-1], walk.product.frame.dtype
    finish = _finish(quantity)
    numbers, amplified = jnp.full((num_records, n), jnp.nan, dtype), jnp.zeros(num_records, dtype)
    empty = Records(numbers, numbers, jnp.zeros(num_records, bool), amplified)
    if finish_apart:
        product = jax.tree.map(
            lambda leaf: jnp.zeros((num_records, *leaf.shape), leaf.dtype), walk.product
        )
        empty = Unfinished(product, amplified)

    def visit(r, carry):
        walk, records = carry
        # Without its history: what passes through the loop's branches may be copied at every step.
        history = walk.history
        walk = walk._replace(history=None)
        if history is None:
            walk = _advance(walk, source, stops.lag[r], limit, method)
        else:
            walk = _advance_within(walk, source, stops.lag[r], limit, method, caution)

        def record():
            product, lost = walk.product, jnp.zeros((), dtype)
            if history is not None:
                lost = amplified_loss(product, history.blocks, walk.lost)
                product = whole_product(product, history.blocks)
            if finish_apart:
                here = Unfinished(product, lost)
            else:
                logs, resolved = finish(product)
                here = Records(logs, product.growth, resolved, lost)
            return jax.tree.map(lambda all, one: all.at[r].set(one), records, here)

        records = jax.lax.cond(stops.record[r], record, lambda: records)
        if history is None:
            return walk, records
        product, blocks = jax.lax.cond(
            stops.block[r],
            lambda: end_block(walk.product, history.blocks, walk.lost, walk.lag),
            lambda: (walk.product, history.blocks),
        )
        history = history._replace(blocks=blocks)
        history = jax.lax.cond(
            stops.cut[r],
            lambda: add_cut(product, history, walk.lag, walk.exact_steps),
            lambda: history,
        )
        return walk._replace(product=product, spread=blocks.spread, history=history), records

    return jax.lax.fori_loop(0, stops.count, visit, (walk, empty))


def _finish(quantity):
    if quantity == "singular values":
        return log_singular_values_of
    return lambda product: (log_growth_of(product), jnp.ones((), bool))


def _advance_within(walk: Walk, source: Source, end, limit, method: Method, caution: float) -> Walk:
    """Walk to lag `end`; once more with less growth allowed where too much was amplified.

    At first it allows the limit over `caution`. How much errors are amplified is known afterwards
    only, and differs much from block to block.
    """
    steps = (end - walk.lag).astype(limit.dtype)
    room = _ROOM * limit * jnp.sqrt(steps)

    def attempt(carry):
        _, limit, tries, _ = carry
        new = _advance(walk, source, end, limit, method)
        lost = jnp.sqrt(new.lost - walk.lost) * spread_of(new.product)
        several = new.factorizations - walk.factorizations < end - walk.lag
        again = (lost > room) & several & (limit > 0) & (tries == 0) & ~new.failed
        return new, jnp.where(again, _LESS * limit * room / lost, limit), tries + 1, again

    carry = walk, limit / caution, jnp.zeros((), jnp.int32), jnp.ones((), bool)
    return jax.lax.while_loop(lambda carry: carry[-1], attempt, carry)[0]


def _advance(walk: Walk, source: Source, end, limit, method: Method) -> Walk:
    """Walk to lag `end`."""
    arrays, static = eqx.partition(source, eqx.is_array)
    n = walk.product.frame.shape[-1]

    def factorize(rows, allowed):
        if method == "lu":
            return factor(rows)
        fast = cholesky(rows)
        fine = jnp.max(fast.growth) <= allowed
        return rarely(~fine, lambda rows, fast: factor(rows), lambda rows, fast: fast, rows, fast)

    def exactly(walk, factors, steps, fine, arrays):
        del steps, fine
        J = eqx.combine(arrays, static).jacobian(walk.lag, walk.product.frame.dtype)
        failed = ~jnp.all(jnp.isfinite(J))
        heavy = _EXACT_LOSS**2 * n**2 * (walk.exact_steps + 1).astype(limit.dtype)
        product = multiply_exactly(walk.product, J, heavy)
        plain = jnp.max(factors.growth)
        exact = jnp.sqrt(jnp.max(product.growth - walk.product.growth))  # as the bound counts it
        next = jnp.clip(_EXACT_GAIN * plain, EXACT_FROM, _EXACT_ALWAYS_FROM)
        return walk._replace(
            product=product,
            lag=jnp.where(failed, walk.lag, walk.lag + 1),
            exact_steps=walk.exact_steps + 1,
            lost=walk.lost + jnp.square(_LOST_SINGLY * exact),
            failed=failed,
            # False for NaN: what has no plain factorization is multiplied exactly again.
            exact_from=jnp.where(exact > plain, next, EXACT_FROM),
        )

    def accept_or_retry(walk, factors, steps, fine, arrays):
        del arrays
        return jax.lax.cond(fine, _accept, _retry, walk, factors, steps)

    def body(walk):
        product = walk.product
        steps = jnp.minimum(walk.interval, end - walk.lag)
        rows = jax.lax.fori_loop(
            0, steps, lambda i, rows: source.push(walk.lag + i, rows), product.frame
        )
        size = jnp.max(jnp.abs(rows), axis=-2)
        single = steps == 1
        share = _share(walk, steps, limit)
        allowed = jnp.where(single, jnp.maximum(walk.exact_from, share), share)
        factors = factorize(rows, allowed)
        growth = jnp.max(factors.growth)
        # A row that vanishes over several steps may have done so by underflow: it is looked at
        # step by step, where a zero is a zero.
        above = size > _SMALLEST
        inside = jnp.all(size < _LARGEST) & jnp.where(single, jnp.any(above), jnp.all(above))
        fine = (growth <= allowed) & inside  # False for NaN

        exact = single & ~fine
        new = rarely(exact, exactly, accept_or_retry, walk, factors, steps, fine, arrays)
        new = new._replace(factorizations=walk.factorizations + 1)
        return _adapt(new, walk.interval, steps, growth, share, fine)

    return jax.lax.while_loop(lambda walk: (walk.lag < end) & ~walk.failed, body, walk)


def _accept(walk, factors, steps):
    weight, growth = steps.astype(factors.growth.dtype), jnp.max(factors.growth)
    taken = multiply(walk.product, factors, weight)
    singly = _LOST_SINGLY * jnp.where(steps == 1, growth, jnp.minimum(growth, _USUAL_GROWTH))
    lost = walk.lost + jnp.square(jnp.maximum(singly, _LOST_TOGETHER * growth)) * weight
    return walk._replace(product=taken, lag=walk.lag + steps, lost=lost)


def _retry(walk, factors, steps):
    del factors, steps
    return walk._replace(rejections=walk.rejections + 1)


def _share(walk, steps, limit):
    """Return the growth allowed to a factorization of `steps` steps.

    Squares of growth, weighted by steps, may add up to limit^2 per step. Growth is very uneven:
    what earlier factorizations left over may be used by later ones, a part at a time.
    """
    weight = steps.astype(limit.dtype)
    limit = limit / jnp.maximum(1, walk.spread / _USUAL_SPREAD)
    own = jnp.square(limit) * weight
    left = jnp.square(limit) * walk.lag.astype(limit.dtype) - jnp.max(walk.product.growth)
    return jnp.sqrt(jnp.maximum(own, _CREDIT * left) / weight)


def _adapt(walk, interval, steps, growth, allowed, fine):
    """Return the walk with the interval to try next, from the growth over `steps`."""
    tried = steps.astype(allowed.dtype)
    room = jnp.log2(jnp.maximum(allowed, 1))
    bits = jnp.clip(jnp.log2(growth), 1, 1e3)
    bits = jnp.where(jnp.isnan(bits), 1e3, bits)
    # Growth is exponential in the number of steps; some bits of safety keep rejections rare.
    longer = tried + jnp.clip(jnp.floor((room - _MARGIN - bits) * tried / bits), -tried, tried)
    shorter = jnp.minimum(jnp.floor(0.9 * tried * jnp.minimum(room / bits, 1)), tried - 1)
    # The last steps before a record say nothing about longer intervals.
    next = jnp.where(
        fine, jnp.where(steps < interval, interval.astype(tried.dtype), longer), shorter
    )
    next = jnp.clip(next, 1, MAX_INTERVAL).astype(jnp.int32)
    # An outlier is repeated over far fewer steps; the next ones need not be as short.
    lower = jnp.maximum(steps - 1, 1)
    cap = jnp.where(fine, jnp.where(walk.hold > 0, walk.cap, MAX_INTERVAL), lower)
    hold = jnp.where(fine, jnp.maximum(walk.hold - 1, 0), _HOLD)
    return walk._replace(interval=jnp.minimum(next, cap), cap=cap, hold=hold)
