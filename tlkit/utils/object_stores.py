"""The file systems of object stores: opened once per bucket, and their errors as sentences.

Credentials, regions and endpoints come from the variables and files that the stores' own programs read
(AWS_ACCESS_KEY_ID, AWS_PROFILE, AWS_ENDPOINT_URL, GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN, …); none is printed,
written, or taken in a URI.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from tlkit.errors import StorageError, TlkitError, require
from tlkit.utils.locations import RemotePath

if TYPE_CHECKING:
    from pyarrow import fs

REASONS = (  # what a store's error says, what kind it is
    (r"NO_SUCH_BUCKET|Bucket '.*' not found|bucket does not exist|ContainerNotFound|Repository ?Not ?Found", "bucket"),
    (
        r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|TOKEN|MISSING_AUTH|UNRECOGNIZED_CLIENT|\b40[13]\b|Forbidden"
        r"|Unauthenticated|Unauthorized|PermissionDenied|[Cc]redential",
        "credentials",
    ),
    (
        r"NETWORK_CONNECTION|curl|[Cc]ould ?n.t connect|resolve host|timed? ?out|refused|UNAVAILABLE|unreachable"
        r"|ConnectionError|ConnectError|getaddrinfo|name resolution|offline",
        "network",
    ),
)
CONTAINERS = {"abfs": "container", "hf": "repository"}  # what holds the objects; a bucket in the others
CREDENTIALS = {  # where the programs of each store look for them
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile (AWS_PROFILE)",
    "gs": "those of `gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "those of `az login`, or AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET",
    "hf": "those of `hf auth login`, or HF_TOKEN",
}


def open_filesystem(uri: str | RemotePath) -> "tuple[fs.FileSystem, str]":
    """Open the file system of a URI.

    Returns:
        The file system, and the name that it knows the object by

    Raises:
        StorageError: if there is no such bucket, or the store cannot be reached
        ModelError: if a package is missing
    """
    path = RemotePath(str(uri))
    require("pyarrow", "storage", f"'{path.scheme}://'")
    with explaining(path):
        store, base = _open_store(path.scheme, path.authority)
    return store, f"{base}/{path.key}".strip("/")


@cache
def _open_store(scheme: str, authority: str) -> "tuple[fs.FileSystem, str]":
    """Open the file system of a bucket, once; give what its names begin with, too."""
    from pyarrow import fs

    if scheme == "s3":
        return _open_s3(authority), authority
    if scheme == "gs":
        user, _, bucket = authority.rpartition("@")
        endpoint = os.environ.get("STORAGE_EMULATOR_HOST", "")
        options = {"endpoint_override": endpoint.rpartition("://")[2], "scheme": "http"} if endpoint else {}
        limit = timedelta(seconds=20)
        return fs.GcsFileSystem(anonymous=user == "anonymous", retry_time_limit=limit, **options), bucket
    if scheme == "hf":
        require("huggingface_hub", "storage", "'hf://'")
        from huggingface_hub import HfFileSystem

        return fs.PyFileSystem(fs.FSSpecHandler(HfFileSystem())), authority
    return fs.FileSystem.from_uri(f"{scheme}://{authority}/")  # type: ignore[no-any-return]


def _open_s3(bucket: str) -> "fs.S3FileSystem":
    """Open Amazon's store, or one that speaks its language at AWS_ENDPOINT_URL."""
    from pyarrow import fs

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        region = "us-east-1" if endpoint else fs.resolve_s3_region(bucket)
    scheme, _, host = endpoint.rstrip("/").rpartition("://")
    options = {"endpoint_override": host, "scheme": scheme or "https"} if endpoint else {}
    retries = fs.AwsStandardS3RetryStrategy(max_attempts=5)
    return fs.S3FileSystem(region=region, connect_timeout=10, request_timeout=60, retry_strategy=retries, **options)


@contextmanager
def explaining(path: RemotePath) -> Iterator[None]:
    """Turn an error of a store in this block into a sentence.

    Raises:
        StorageError
    """
    try:
        yield
    except (TlkitError, GeneratorExit):
        raise
    except FileNotFoundError as error:
        if _kind_of_error(str(error)) == "bucket":
            raise _sentence(path, error) from None
        require_bucket(path)
        raise missing_key(path) from None
    except Exception as error:  # every library below has its own
        raise _sentence(path, error) from None


def _kind_of_error(text: str) -> str:
    return next((kind for pattern, kind in REASONS if re.search(pattern, text)), "")


def _bucket_of(path: RemotePath) -> RemotePath:
    """Give the bucket of a path; of the Hugging Face hub, the repository."""
    depth = 0 if path.scheme != "hf" else 2 if path.authority in ("datasets", "spaces") else 1
    return RemotePath("/".join(path.parts[: depth + 1]))


def require_bucket(path: RemotePath) -> None:
    """Check that there is a bucket; a store gives the same error for a bucket and for a key that is not there.

    Raises:
        StorageError
    """
    from pyarrow import fs

    bucket = _bucket_of(path)
    try:
        store, name = open_filesystem(bucket)
        if store.get_file_info(name).type != fs.FileType.NotFound:
            return
    except TlkitError:
        raise
    except Exception as error:
        raise _sentence(bucket, error) from None
    raise _missing_bucket(path)


def _missing_bucket(path: RemotePath) -> StorageError:
    noun = CONTAINERS.get(path.scheme, "bucket")
    return StorageError(f"there is no {noun} '{_bucket_of(path)}'{_endpoint(path)}; check its name.", "bucket")


def missing_key(path: RemotePath) -> StorageError:
    """Make the error of a name that a bucket does not have."""
    noun = CONTAINERS.get(path.scheme, "bucket")
    return StorageError(
        f"'{path}' does not exist, but the {noun} '{_bucket_of(path)}' does; check the part behind it.", "key"
    )


def _endpoint(path: RemotePath) -> str:
    """Say where a bucket was looked for, where that is not the usual place."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return f" at {endpoint.rpartition('@')[2]}" if endpoint and path.scheme == "s3" else ""


def _sentence(path: RemotePath, error: Exception) -> StorageError:
    """Say what an error of a store means: its code, and only of an unknown one what the store says."""
    text = f"{type(error).__name__} {error}".replace(path.key or "\0", "…")  # a name may be 403.jpg
    kind = _kind_of_error(text)
    code = re.search(r"AWS Error ([A-Z_]+)", text)
    shown = code[1].lower().replace("_", " ") if code else type(error).__name__
    if kind == "bucket":
        return _missing_bucket(path)
    if kind == "credentials":
        return StorageError(
            f"'{path}'{_endpoint(path)} may not be used with the credentials that were found ({shown}); expected "
            f"{CREDENTIALS[path.scheme]}, with access to it.",
            kind,
        )
    if kind == "network":
        return StorageError(
            f"the object store of '{path}'{_endpoint(path)} cannot be reached ({shown}); check the network and the "
            "endpoint, then repeat the command.",
            kind,
        )
    return StorageError(f"'{path}' cannot be read or written ({shown}: {_without_secrets(str(error))}).", kind)


def _without_secrets(text: str) -> str:
    """Shorten what a store says to a line, without the values of variables that may be secret."""
    line = " ".join(text.split())[:300].rstrip(".")
    for name, secret in os.environ.items():
        if re.search(r"KEY|TOKEN|SECRET|PASSWORD", name) and len(secret) > 3:
            line = line.replace(secret, f"${name}")
    return line
