"""One step of each framework's cells as its documentation has it, in NumPy."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def keras_lstm(w, state, x):
    h, c = state
    i, f, g, o = np.split(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"], 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def keras_gru(w, h, x):
    kernel, recurrent = (np.split(w[k], 3, 1) for k in ("kernel", "recurrent_kernel"))
    if w["bias"].ndim == 2:
        (az, ar, an), (bz, br, bn) = (np.split(row, 3) for row in w["bias"])
        r = sigmoid(x @ kernel[1] + ar + h @ recurrent[1] + br)
        z = sigmoid(x @ kernel[0] + az + h @ recurrent[0] + bz)
        n = np.tanh(x @ kernel[2] + an + r * (h @ recurrent[2] + bn))
    else:
        bz, br, bn = np.split(w["bias"], 3)
        r = sigmoid(x @ kernel[1] + h @ recurrent[1] + br)
        z = sigmoid(x @ kernel[0] + h @ recurrent[0] + bz)
        n = np.tanh(x @ kernel[2] + (r * h) @ recurrent[2] + bn)
    return z * h + (1 - z) * n


def haiku_lstm(w, state, x):
    h, c = state
    w = w["linear"]
    i, g, f, o = np.split(np.concatenate([x, h]) @ w["w"] + w["b"], 4)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def haiku_gru(w, h, x):
    (iz, ir, ia), (hz, hr, ha) = (np.split(w[k], 3, 1) for k in ("w_i", "w_h"))
    bz, br, ba = np.split(w["b"], 3)
    z, r = sigmoid(x @ iz + h @ hz + bz), sigmoid(x @ ir + h @ hr + br)
    return (1 - z) * h + z * np.tanh(x @ ia + (r * h) @ ha + ba)


def linen_lstm(w, state, x):
    h, c = state

    def gate(k):
        return x @ w["i" + k]["kernel"] + h @ w["h" + k]["kernel"] + w["h" + k]["bias"]

    c = sigmoid(gate("f")) * c + sigmoid(gate("i")) * np.tanh(gate("g"))
    return sigmoid(gate("o")) * np.tanh(c), c


def linen_gru(w, h, x):
    def given(k):
        return x @ w["i" + k]["kernel"] + w["i" + k]["bias"]

    r = sigmoid(given("r") + h @ w["hr"]["kernel"])
    z = sigmoid(given("z") + h @ w["hz"]["kernel"])
    n = np.tanh(given("n") + r * (h @ w["hn"]["kernel"] + w["hn"]["bias"]))
    return (1 - z) * n + z * h


def onnx_lstm(w, state, x, clip, input_forget):
    h, c = state
    w = {name: array[0] for name, array in w.items()}
    b, d = np.split(w["B"], 2)
    i, o, f, g = np.split(w["W"] @ x + b + w["R"] @ h + d, 4)
    pi, po, pf = np.split(w["P"], 3)
    i = sigmoid(np.clip(i + pi * c, -clip, clip))
    f = 1 - i if input_forget else sigmoid(np.clip(f + pf * c, -clip, clip))
    c = f * c + i * np.tanh(np.clip(g, -clip, clip))
    return sigmoid(np.clip(o + po * c, -clip, clip)) * np.tanh(c), c


def onnx_gru(w, h, x, after):
    (wz, wr, wh), (rz, rr, rh) = (np.split(w[name][0], 3) for name in "WR")
    bz, br, bh, cz, cr, ch = np.split(w["B"][0], 6)
    z, r = sigmoid(wz @ x + bz + rz @ h + cz), sigmoid(wr @ x + br + rr @ h + cr)
    inner = r * (rh @ h + ch) if after else rh @ (r * h) + ch
    return (1 - z) * np.tanh(wh @ x + bh + inner) + z * h
