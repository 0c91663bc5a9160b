"""Locations: paths on this machine, and URIs of object stores, such as s3://bucket/photos; text alone, no request.

The key of an object is the rest of the URI as it is, as the programs of the stores take it: "%20" is three characters.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from tlkit.errors import StorageError

SCHEMES = ("s3", "gs", "abfs", "hf")  # and "file", which is a path of this machine
URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
SECRETS = re.compile(r"[?&](?:access_key|secret_key|session_token|token|sig|password)=", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class RemotePath:
    """An object of an object store, or all objects below a name, as a path.

    Attributes:
        uri: such as "s3://bucket/photos/cat.jpg"; without a slash at its end
    """

    uri: str

    def __post_init__(self) -> None:
        found = URI.fullmatch(self.uri)
        scheme, rest = found.groups() if found else ("", "")
        object.__setattr__(self, "uri", f"{scheme.lower()}://{rest.rstrip('/')}")
        is_azure = scheme.lower() == "abfs"  # where a container and a port may be named
        if SECRETS.search(rest) or re.search(r":(?!\d+$)" if is_azure else ":|(?<!^anonymous)@", self.authority):
            raise StorageError(
                f"a URI that begins with {scheme}:// has credentials in it, which would be written into the run; "
                "leave them out, and set them as the programs of the store expect them.",
                "credentials",
            )
        if scheme.lower() not in SCHEMES:
            raise StorageError(f"'{self.uri}' is not of a kind that can be read; expected {quoted_schemes()}.")
        if not self.authority:
            raise StorageError(f"'{self.uri}' names no bucket; expected e.g. '{scheme}://bucket/photos'.")

    def __str__(self) -> str:
        return self.uri

    def __truediv__(self, path: str | os.PathLike[str]) -> "RemotePath":
        added = os.fspath(path).strip("/")
        return RemotePath(f"{self.uri}/{added}") if added and added != "." else self

    @property
    def scheme(self) -> str:
        """The kind of the store, such as "s3"."""
        return self.uri.partition("://")[0]

    @property
    def authority(self) -> str:
        """The first part behind the scheme, such as the bucket."""
        return self.uri.partition("://")[2].partition("/")[0]

    @property
    def key(self) -> str:
        """The parts behind the first, with "/"; "" for the bucket itself."""
        return self.uri.partition("://")[2].partition("/")[2]

    @property
    def parts(self) -> tuple[str, ...]:
        """The scheme with the bucket, then the parts of the key."""
        return (f"{self.scheme}://{self.authority}", *filter(None, self.key.split("/")))

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2] or self.authority

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot; "" without one."""
        return PurePosixPath(self.name).suffix

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.name).stem

    @property
    def parent(self) -> "RemotePath":
        """All objects beside this one; of a bucket itself."""
        return RemotePath(self.uri.rpartition("/")[0]) if self.key else self

    def resolve(self) -> "RemotePath":
        """Give this; a URI depends on no current folder."""
        return self

    def relative_to(self, other: object) -> PurePosixPath:
        """Give the path below another location.

        Raises:
            ValueError: if it is not below it
        """
        if self == other:
            return PurePosixPath()
        if not self.uri.startswith(f"{other}/"):
            raise ValueError(f"'{self}' is not below '{other}'")
        return PurePosixPath(self.uri[len(str(other)) + 1 :])

    def is_relative_to(self, other: object) -> bool:
        """Tell whether this is another location or below it."""
        return self.uri == str(other) or self.uri.startswith(f"{other}/")


Location = Path | RemotePath


def quoted_schemes() -> str:
    """Name the kinds of URIs that can be read."""
    return ", ".join(f"{scheme}://" for scheme in (*SCHEMES, "file"))


def is_remote(location: object) -> bool:
    """Tell whether a location, or text that names one, is in an object store."""
    if isinstance(location, str):
        found = URI.fullmatch(location)
        return found is not None and found[1].lower() != "file"
    return isinstance(location, RemotePath)


def as_location(text: str | os.PathLike[str] | RemotePath) -> Location:
    """Take text as a URI where it has a scheme, else as a path.

    Raises:
        StorageError: if the scheme is unknown, no bucket is named, or credentials are in it

    >>> str(as_location("s3://bucket/photos/") / "cat.jpg"), as_location("file:///tmp/my%20photos").name
    ('s3://bucket/photos/cat.jpg', 'my photos')
    """
    if isinstance(text, RemotePath):
        return text
    found = URI.fullmatch(text) if isinstance(text, str) else None
    if found and found[1].lower() != "file":
        return RemotePath(found[0])
    return Path(unquote(re.sub(r"^[^/]*", "", found[2]))) if found else Path(text)
