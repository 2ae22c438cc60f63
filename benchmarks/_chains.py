"""Families of Jacobian chains: each `family(rng, n, steps)` returns an array (steps, n, n).

The networks are run in NumPy with their Jacobians written out by hand, so that a chain does not
depend on the package under test. Slopes of tanh and the logistic function come from the
pre-activation and never round to 0.
"""

import functools as ft

import numpy as np

# --- networks ---------------------------------------------------------------------------------


def tanh_network(rng, n, steps, gain, *, activation_first=False, orthogonal=False):
    """Return D W along a driven tanh network (W D with the activation first)."""
    W = rng.standard_normal((n, n)) / np.sqrt(n)
    W = gain * (np.linalg.qr(W)[0] if orthogonal else W)
    state, chain = 0.5 * rng.standard_normal(n), []
    for _ in range(steps):
        a = W @ state + 0.3 * rng.standard_normal(n)
        slope = tanh_slope(a)
        chain.append(W * slope if activation_first else slope[:, None] * W)
        state = np.tanh(a)
    return np.stack(chain)


def relu_network(rng, n, steps, *, identity=False, activation_first=False):
    """Return D W with D of zeros and ones along a driven ReLU network.

    `identity`: W starts as the identity (IRNN), slightly perturbed so that the product is dense.
    """
    noise = rng.standard_normal((n, n)) / np.sqrt(n)
    W = np.eye(n) + 0.05 * noise if identity else 1.6 * noise
    state, chain = np.abs(rng.standard_normal(n)), []
    for _ in range(steps):
        a = W @ state + 0.5 * rng.standard_normal(n) + 0.2
        on = (a > 0) * 1.0
        chain.append(W * on if activation_first else on[:, None] * W)
        state = np.maximum(a, 0)
        state /= max(1.0, np.linalg.norm(state) / np.sqrt(n))  # ReLU Jacobians do not see the size
    return np.stack(chain)


def lstm_network(rng, n, steps, *, gain=2.0):
    """Return the Jacobians of the whole state (h, c) of a driven LSTM with n // 2 units."""
    if n % 2:
        raise ValueError(f"expected an even state size (h, c); got {n}.")
    size = n // 2
    W = gain * rng.standard_normal((4, size, size)) / np.sqrt(size)
    bias = 0.3 * rng.standard_normal((4, size)) + np.array([0.0, 1.0, 0.0, 0.0])[:, None]
    h, c, chain = 0.3 * rng.standard_normal(size), rng.standard_normal(size), []
    for _ in range(steps):
        z = W @ h + bias + rng.standard_normal((4, size))
        J, h, c = lstm_step(W, z, c)
        chain.append(J)
    return np.stack(chain)


def lstm_step(W, z, c):
    """Return the Jacobian d(h', c')/d(h, c) and h', c' from the pre-activations z (i, f, g, o)."""
    (i, f, o), g = logistic(z[[0, 1, 3]]), np.tanh(z[2])
    new_c = f * c + i * g
    # dc'/dz of the three gates that make c'
    weights = np.stack([g * logistic_slope(z[0]), c * logistic_slope(z[1]), i * tanh_slope(z[2])])
    dc_dh = np.einsum("ki,kij->ij", weights, W[:3])
    through_c = o * tanh_slope(new_c)
    dh_dh = through_c[:, None] * dc_dh + (np.tanh(new_c) * logistic_slope(z[3]))[:, None] * W[3]
    J = np.block([[dh_dh, np.diag(through_c * f)], [dc_dh, np.diag(f)]])
    return J, o * np.tanh(new_c), new_c


def gru_network(rng, n, steps, *, gain=2.0):
    """Return the Jacobians of a driven GRU."""
    W = gain * rng.standard_normal((3, n, n)) / np.sqrt(n)
    bias = 0.3 * rng.standard_normal((3, n))
    h, chain = 0.3 * rng.standard_normal(n), []
    for _ in range(steps):
        J, h = gru_step(W, bias + rng.standard_normal((3, n)), h)
        chain.append(J)
    return np.stack(chain)


def gru_step(W, drive, h):
    """Return dh'/dh and h' of h' = (1 - z) m + z h, m = tanh(a + r (W_m h)), gates z, r."""
    az, ar = W[:2] @ h + drive[:2]
    z, r = logistic(az), logistic(ar)
    recurrent = W[2] @ h
    am = drive[2] + r * recurrent
    m = np.tanh(am)
    dm = tanh_slope(am)[:, None] * (
        (recurrent * logistic_slope(ar))[:, None] * W[1] + r[:, None] * W[2]
    )
    J = np.diag(z) + ((h - m) * logistic_slope(az))[:, None] * W[0] + (1 - z)[:, None] * dm
    return J, (1 - z) * m + z * h


def tanh_slope(a):
    """Return the derivative of tanh, which never rounds to 0."""
    q = np.exp(-2 * np.abs(a))
    return 4 * q / (1 + q) ** 2


def logistic(a):
    """Return 1 / (1 + exp(-a))."""
    q = np.exp(-np.abs(a))
    return np.where(a >= 0, 1, q) / (1 + q)


def logistic_slope(a):
    """Return the derivative of the logistic function, which never rounds to 0."""
    q = np.exp(-np.abs(a))
    return q / (1 + q) ** 2


# --- random and structured matrices -------------------------------------------------------------


def ginibre(rng, n, steps):
    """Return independent Gaussian matrices of variance 1/n."""
    return rng.standard_normal((steps, n, n)) / np.sqrt(n)


def orthogonal(rng, n, steps):
    """Return independent Haar orthogonal matrices."""
    return np.linalg.qr(rng.standard_normal((steps, n, n)))[0]


def linear(rng, n, steps):
    """Return one Gaussian matrix repeated: the linear cell."""
    return np.repeat(ginibre(rng, n, 1), steps, axis=0)


def graded(rng, n, steps, *, rows=0.0, columns=0.0):
    """Return D1 G D2: rows and columns spread over so many decades, in random order."""
    left = 10 ** rng.uniform(-rows, 0, (steps, n, 1))
    right = 10 ** rng.uniform(-columns, 0, (steps, 1, n))
    return left * rng.standard_normal((steps, n, n)) * right


def ascending_diagonal(rng, n, steps):
    """Return one diagonal matrix whose slow directions come first."""
    del rng
    return np.repeat(np.diag(np.linspace(0.3, 1.4, n))[None], steps, axis=0)


def ascending_triangular(rng, n, steps):
    """Return non-normal upper triangular matrices whose slow directions come first."""
    upper = np.triu(0.3 * rng.standard_normal((steps, n, n)), 1)
    return upper + np.diag(np.linspace(0.5, 1.2, n))


def jordan(rng, n, steps, *, rotated=False):
    """Return one defective Jordan block repeated; `rotated` hides its zeros by a rotation."""
    J = 0.9 * np.eye(n) + np.diag(np.ones(n - 1), 1)
    if rotated:
        Q = orthogonal(rng, n, 1)[0]
        J = Q @ J @ Q.T
    return np.repeat(J[None], steps, axis=0)


def inverse_pairs(rng, n, steps):
    """Return A, A^-1, B, B^-1, ...: each pair nearly cancels."""
    A = ginibre(rng, n, (steps + 1) // 2)
    return np.stack([A, np.linalg.inv(A)], axis=1).reshape(-1, n, n)[:steps]


def projections(rng, n, steps):
    """Return projections 1 - u u^T: singular but for the rounding of their entries."""
    u = rng.standard_normal((steps, n))
    u /= np.linalg.norm(u, axis=1)[:, None]
    return np.eye(n) - u[:, :, None] * u[:, None, :]


def contracted(rng, n, steps):
    """Return orthogonal matrices times a diagonal over 13 decades."""
    return orthogonal(rng, n, steps) * np.logspace(0, -13, n)


def wilkinson(rng, n, steps):
    """Return Wilkinson's matrices, in which partial pivoting grows entries by 2^(n-1)."""
    J = np.tril(-np.ones((n, n)), -1) + np.eye(n)
    J[:, -1] = 1
    scale = 1 + 1e-3 * rng.standard_normal((steps, 1, n))
    return scale * J / np.sqrt(n)


FAMILIES = {
    "tanh, gain 0.5": ft.partial(tanh_network, gain=0.5),
    "tanh, gain 0.9": ft.partial(tanh_network, gain=0.9),
    "tanh, gain 1.5": ft.partial(tanh_network, gain=1.5),
    "tanh, gain 3": ft.partial(tanh_network, gain=3.0),
    "tanh, gain 12": ft.partial(tanh_network, gain=12.0),
    "tanh first, gain 3": ft.partial(tanh_network, gain=3.0, activation_first=True),
    "tanh first, gain 12": ft.partial(tanh_network, gain=12.0, activation_first=True),
    "tanh, orthogonal W": ft.partial(tanh_network, gain=1.0, orthogonal=True),
    "LSTM": lstm_network,
    "GRU": gru_network,
    "ReLU": relu_network,
    "ReLU first": ft.partial(relu_network, activation_first=True),
    "ReLU, W near identity": ft.partial(relu_network, identity=True),
    "linear": linear,
    "orthogonal": orthogonal,
    "Ginibre": ginibre,
    "rows graded": ft.partial(graded, rows=12.0),
    "columns graded": ft.partial(graded, columns=12.0),
    "both graded": ft.partial(graded, rows=6.0, columns=6.0),
    "ascending diagonal": ascending_diagonal,
    "ascending triangular": ascending_triangular,
    "Jordan": jordan,
    "Jordan, rotated": ft.partial(jordan, rotated=True),
    "inverse pairs": inverse_pairs,
    "projections": projections,
    "contracted": contracted,
    "Wilkinson": wilkinson,
}

# Products of defective or mutually cancelling factors: the rounding of one entry of one factor, had
# it happened in the input, would already change the answer by more than the tolerances asked for.
ILL_CONDITIONED = frozenset({"Jordan", "Jordan, rotated", "inverse pairs", "ascending triangular"})
