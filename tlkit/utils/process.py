"""Things that belong to this process: its temporary folders, and how many files it may open."""

import atexit
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from tlkit.utils.files import writing

MAX_OPEN_FILES = 10_000  # what macOS allows one process

_until_exit = ExitStack()


def folder_of_process() -> Path:
    """Make a temporary folder that is removed when the process ends.

    Raises:
        WriteError
    """
    with writing(tempfile.gettempdir()):
        return Path(_until_exit.enter_context(tempfile.TemporaryDirectory(prefix="tlkit-", ignore_cleanup_errors=True)))


@atexit.register
def remove_folders_of_process() -> None:
    """Remove the folders of `folder_of_process`; a process that ends by `os._exit` calls it before."""
    _until_exit.close()


def raise_open_file_limit() -> None:
    """Let this process open as many files as it may: by default shells allow 256 or 1,024."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
        if soft != resource.RLIM_INFINITY and soft < limit:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
