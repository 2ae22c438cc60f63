"""A strict reader of IDX files, the format of MNIST."""

import gzip
import math
import pathlib
import zlib

import numpy as np

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: pathlib.Path) -> np.ndarray:
    """Return the array in an IDX file, plain or compressed by gzip (told by its first bytes).

    The file is two zero bytes, one byte for the type, one for the number of axes, each axis' size
    as a big-endian 32-bit integer, and then the numbers, big-endian, last axis fastest.

    **Raises:** `FileNotFoundError`; `ValueError` when the file is anything else than exactly that:
    another format, cut short, damaged, or longer than its header says.
    """
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"expected a whole gzip file; {path} is damaged or cut short ({error}). "
                "Copy or download it again."
            ) from error
    magic = data[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or magic[3] == 0:
        raise ValueError(
            f"expected an IDX file, which begins with 00 00, a type of 08 to 0e and the number of "
            f"axes; {path} begins with {magic.hex(' ') or 'nothing'}."
        )
    dtype, ndim = np.dtype(_DTYPES[magic[2]]), magic[3]
    sizes, numbers = data[4 : 4 + 4 * ndim], data[4 + 4 * ndim :]
    if len(sizes) < 4 * ndim:
        raise ValueError(
            f"expected the sizes of {ndim} axes; {path} ends after {len(sizes) // 4} of them."
        )
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    expected = math.prod(shape) * dtype.itemsize
    if len(numbers) != expected:
        raise ValueError(
            f"expected {expected} bytes of data for shape {shape} of {dtype}; in {path} "
            f"{len(numbers)} follow. Copy or download it again."
        )
    return np.frombuffer(numbers, dtype).reshape(shape).astype(dtype.newbyteorder("="))
