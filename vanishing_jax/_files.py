"""Writing a file such that a reader sees the old one or the new one, never half of it."""

import os
import uuid
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> Path:
    """Write `content` to `path` by way of a temporary file in the same folder; make the folder.

    When anything fails (a full disk, an interrupt), an earlier file stays as it was. What is not a
    file (`/dev/null`, a pipe) is written to: a rename would put a file in its place.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the rename may not reach the disk before the content does
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path
