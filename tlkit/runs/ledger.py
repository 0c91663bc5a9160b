"""The ledger of the runs that this machine made: the SHA-256 of each `model.json`, one a line, in the cache folder.

A `model.json` has the hash of every other file, so its own hash identifies a whole run, even after it is copied.
Lines are only added, each in one write, so several processes may add at once. A line begins with a line feed: after
one that a crash left unfinished, it is complete all the same.
"""

import os
from contextlib import suppress
from pathlib import Path

from tlkit.cache.folder import LEDGER, cache_dir, claim_cache
from tlkit.errors import OptionError
from tlkit.utils.reading import read_regular

_made_here = set[str]()  # by this process, which may have no cache
MAX_LEDGER_BYTES = 64_000_000  # a million runs


def record_run(digest: str) -> None:
    """Add a run to the ledger, where the cache can be written; elsewhere only this process knows it.

    Args:
        digest: SHA-256 of its `model.json`, hexadecimal
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    known = is_recorded(digest)
    _made_here.add(digest)
    with suppress(OSError, OptionError):
        claim_cache()
        if known:
            return
        descriptor = os.open(_ledger(), flags, 0o600)
        try:
            os.write(descriptor, _line(digest))
        finally:
            os.close(descriptor)


def is_recorded(digest: str) -> bool:
    """Tell whether this machine made the run with this hash of its `model.json`."""
    if digest in _made_here:
        return True
    try:
        return _line(digest) in read_regular(_ledger(), MAX_LEDGER_BYTES)
    except OSError:
        return False


def _ledger() -> Path:
    return cache_dir() / LEDGER


def _line(digest: str) -> bytes:
    return f"\n{digest}\n".encode()
