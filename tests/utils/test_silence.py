"""Silence: what is dropped, what stays, and that it ends."""

import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from tlkit.utils.silence import NOISY_LOGGERS, silenced_stderr


def test_silenced_stderr_drops_what_is_written_to_descriptor(capfd):
    os.write(2, b"before ")
    with silenced_stderr():
        os.write(2, b"inside ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_silenced_stderr_several_threads_restore_it(capfd):
    def write(number):
        with silenced_stderr():
            os.write(2, b"inside")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(100)))
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_silenced_stderr_drops_warnings_of_loggers_also_where_stderr_is_no_file(capsys):
    handler = logging.StreamHandler(sys.stderr)
    loggers = [logging.getLogger(name) for name in NOISY_LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
    levels = [logger.level for logger in loggers]
    with silenced_stderr():
        for logger in loggers:
            logger.warning("inside")
    loggers[0].error("after")
    for logger in loggers:
        logger.removeHandler(handler)
    written = capsys.readouterr().err
    assert "inside" not in written
    assert "after" in written
    assert [logger.level for logger in loggers] == levels
