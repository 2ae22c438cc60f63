"""Small files in the formats that tasks read."""

import gzip
import struct

import numpy as np

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array):
    """Return `array` as an IDX file, written out from the format's description."""
    array = np.asarray(array)
    kind = array.dtype.str[1:]
    head = bytes([0, 0, CODES[kind], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def images(count, seed, side=4):
    """Return dim random images whose first pixel is bright for large digits, and the digits."""
    rng = np.random.RandomState(seed)
    digits = np.arange(count) % 10
    pixels = rng.randint(0, 3, (count, side, side))
    pixels[:, 0, 0] = 25 * digits
    return pixels.astype(np.uint8), digits.astype(np.uint8)


def write_mnist(folder, *, count=40, compress=False, dot="-", side=4):
    """Write the four files of a data set in the form of MNIST; return the training part."""
    for part, number, seed in (("train", count, 0), ("t10k", 20, 1)):
        for stem, array in zip(
            (f"images{dot}idx3", f"labels{dot}idx1"), images(number, seed, side), strict=True
        ):
            data = idx_bytes(array)
            name = f"{part}-{stem}-ubyte" + (".gz" if compress else "")
            (folder / name).write_bytes(gzip.compress(data) if compress else data)
    return images(count, 0, side)
