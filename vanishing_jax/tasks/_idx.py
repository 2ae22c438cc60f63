"""A strict reader of IDX files, the format of MNIST."""

import gzip
import io
import math
import pathlib
import zlib

import numpy as np

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CHUNK = 1 << 20


def read_idx(path: pathlib.Path) -> np.ndarray:
    """Return the array in an IDX file, plain or compressed by gzip (told by its first bytes).

    The file is two zero bytes, one byte for the type, one for the number of axes, each axis' size
    as a big-endian 32-bit integer, and then the numbers, big-endian, last axis fastest.

    **Raises:** `FileNotFoundError`; `ValueError` when the file is anything else than exactly that:
    another format, cut short, damaged, or longer than its header says.
    """
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if compressed else open(path, "rb") as file:
            return _read(file, path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"expected a whole gzip file; {path} is damaged or cut short ({error}). "
            "Copy or download it again."
        ) from error


def _read(file: io.BufferedIOBase, path: pathlib.Path) -> np.ndarray:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or magic[3] == 0:
        raise ValueError(
            f"expected an IDX file, which begins with 00 00, a type of 08 to 0e and the number of "
            f"axes; {path} begins with {magic.hex(' ') or 'nothing'}."
        )
    dtype, ndim = np.dtype(_DTYPES[magic[2]]), magic[3]
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise ValueError(
            f"expected the sizes of {ndim} axes; {path} ends after {len(sizes) // 4} of them."
        )
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    expected = math.prod(shape) * dtype.itemsize
    data = _read_up_to(file, expected + 1)
    if len(data) != expected:
        have = f"{len(data)} follow" if len(data) < expected else "more follow"
        raise ValueError(
            f"expected {expected} bytes of data for shape {shape} of {dtype}; in {path} {have}. "
            "Copy or download it again."
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _read_up_to(file: io.BufferedIOBase, size: int) -> bytearray:
    """Return up to `size` bytes, reserving memory only for what is there, not for what is said."""
    data = bytearray()
    while len(data) < size:
        chunk = file.read(min(_CHUNK, size - len(data)))
        if not chunk:
            break
        data += chunk
    return data
