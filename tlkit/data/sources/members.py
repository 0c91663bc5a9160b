"""Images inside a shard: members of a tar file, or rows of a parquet file, as `shard-01.tar::cat.jpg`.

They are read where they are; nothing is unpacked.
"""

import re
from pathlib import Path

from tlkit.data.sources.parquet_rows import read_row_image
from tlkit.data.sources.tar import read_tar_member
from tlkit.errors import ImageError, StorageError
from tlkit.utils.storage import Location, RemotePath, is_file

SEPARATOR = "::"
MEMBER = re.compile(rf"(.+?\.(?:tar|parquet)){SEPARATOR}(.+)", re.DOTALL | re.IGNORECASE)
READERS = {".tar": read_tar_member, ".parquet": read_row_image}


def is_member(path: Location) -> bool:
    """Tell whether a path leads into a shard; a file that has such a name itself does not."""
    text = str(path)
    return SEPARATOR in text and bool(MEMBER.fullmatch(text)) and not (isinstance(path, Path) and is_file(path))


def shard_of(path: Location) -> Location:
    """Give the file that is there: the shard of a member, any other path itself."""
    return _split(path)[0] if is_member(path) else path


def read_member(path: Location, max_bytes: int) -> bytes:
    """Read the bytes of an image inside a shard.

    Raises:
        ImageError
        StorageError: if an object store fails
    """
    shard, name = _split(path)
    try:
        return READERS[shard.suffix.lower()](shard, name, max_bytes)
    except FileNotFoundError:
        raise ImageError("does not exist") from None
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror or error})") from None
    except StorageError as error:
        if error.kind != "key":
            raise
        raise ImageError("does not exist") from None


def _split(path: Location) -> tuple[Location, str]:
    found = MEMBER.fullmatch(str(path))
    assert found, "is_member was asked"
    return RemotePath(found[1]) if isinstance(path, RemotePath) else Path(found[1]), found[2]
