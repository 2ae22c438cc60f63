import gzip

import numpy as np
import pytest

from vanishing_jax.tasks._idx import read_idx

from .files import idx_bytes

ARRAY = np.arange(24, dtype="u1").reshape(2, 3, 4)
WHOLE = idx_bytes(ARRAY)
GZIP = gzip.compress(WHOLE, mtime=0)  # the same in every process of the test suite


def write(tmp_path, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_reads_what_was_written(tmp_path, kind, compress):
    array = (ARRAY - 7.0).astype(kind) if kind != "u1" else ARRAY
    found = read_idx(write(tmp_path, compress(idx_bytes(array))))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype and found.dtype.isnative and found.flags.writeable


def test_reads_no_data_where_the_header_says_none(tmp_path):
    empty = np.zeros((0, 28, 28), "u1")
    assert read_idx(write(tmp_path, idx_bytes(empty))).shape == (0, 28, 28)


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "begins with nothing"),
        (WHOLE[:3], "begins with 00 00 08"),
        (b"\x89PNG\r\n\x1a\n" + WHOLE, "expected an IDX file.*begins with 89 50 4e 47"),
        (b"\0\1" + WHOLE[2:], "expected an IDX file"),
        (b"\0\0\x0a" + WHOLE[3:], "begins with 00 00 0a 03"),
        (b"\0\0\x08\0" + WHOLE[4:], "begins with 00 00 08 00"),
        (WHOLE[:11], "sizes of 3 axes; .* ends after 1"),
        (WHOLE[:16], r"expected 24 bytes of data for shape \(2, 3, 4\) of uint8; in .* 0 follow"),
        (WHOLE[:-1], "23 follow"),
        (WHOLE + b"\0", "25 follow"),
        # Sizes that no memory holds, and no file.
        (b"\0\0\x0e\x03" + 12 * b"\xff" + WHOLE, "expected 6338\\d+ bytes of data"),
        (GZIP[:-9], "whole gzip file; .* is damaged or cut short"),
        (GZIP[:-2], "whole gzip file"),
        (GZIP[:-8] + 8 * b"\0", "whole gzip file.*CRC"),
        (GZIP[:10] + 40 * b"\xff", "whole gzip file"),
        (b"\x1f\x8b", "whole gzip file"),
        (gzip.compress(WHOLE + b"\0", mtime=0), "25 follow"),
        (gzip.compress(WHOLE[:-1], mtime=0), "23 follow"),
    ],
)
def test_anything_else_is_refused(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        read_idx(write(tmp_path, data))


def test_every_cut_and_every_changed_byte_of_the_header_is_noticed(tmp_path):
    for end in range(len(WHOLE)):
        with pytest.raises(ValueError, match="expected"):
            read_idx(write(tmp_path, WHOLE[:end]))
    for position in range(16):
        data = bytearray(WHOLE)
        data[position] ^= 0x40
        with pytest.raises(ValueError, match="expected"):
            read_idx(write(tmp_path, data))


def test_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nowhere")
