import os

import pytest


@pytest.fixture
def write_atomically():
    from vanishing_jax._files import write_atomically

    return write_atomically


def test_an_interrupted_write_leaves_the_old_file(write_atomically, tmp_path, monkeypatch):
    path = write_atomically(tmp_path / "folder" / "file", b"old")

    def full_disk(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_readable_as_any_other(write_atomically, tmp_path):
    (tmp_path / "ordinary").write_bytes(b"")
    path = write_atomically(tmp_path / "file", b"new")
    assert path.stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_what_is_not_a_file_is_written_to_and_not_replaced(write_atomically, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(pipe, b"new")
        assert os.read(reader, 8) == b"new"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
