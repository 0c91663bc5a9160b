"""Settings of `tlkit export`."""

import pytest

from tlkit.errors import OptionError
from tlkit.settings.export import ExportSettings


def test_limits_and_choices_are_checked():
    for options, words in (({"max_drop": -1}, "at least 0"), ({"format": "torch"}, "expected one of litert")):
        with pytest.raises(OptionError, match=words):
            ExportSettings(**options)
