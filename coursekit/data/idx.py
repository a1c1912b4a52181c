"""Read MNIST's idx files, packed or not, without unpacking anything to disk."""

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coursekit.data.errors import DataError

UINT8 = 0x08  # the code of "unsigned byte" in an idx header; MNIST and its kin have no other


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in the idx file `path`, which may be gzipped (http://yann.lecun.com/exdb/mnist, "the IDX file format").

    torchvision's own reader wants an unpacked file, and the folder may be read-only.

    Raises:
        DataError: the file is cut off, or is no idx file (an error page that was saved under its name, say).
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _broken(path, f"it cannot be unpacked ({error})") from error
    header = 4 + 4 * content[3] if len(content) > 3 else 4
    if len(content) < header or content[:2] != b"\0\0" or content[2] != UINT8:
        raise _broken(path, f"it is no idx file of bytes: it begins with {content[:16]!r}")
    shape = tuple(int(n) for n in np.frombuffer(content[4:header], dtype=">i4"))
    expected = header + int(np.prod(shape))
    if len(content) != expected:
        raise _broken(path, f"it holds {len(content):,} bytes, its header promises {expected:,}")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def _broken(path: Path, what: str) -> DataError:
    return DataError(f"{path} is damaged: {what}. Delete this file and get it again.")
