"""Settings of `tlkit serve`."""

import pytest

from tlkit.errors import OptionError
from tlkit.settings.serve import ServeSettings


def test_the_defaults_are_safe():
    settings = ServeSettings()
    assert (settings.host, settings.token_file) == ("127.0.0.1", "")
    assert (settings.max_body, settings.max_images, settings.timeout) == (10, 32, 30)


@pytest.mark.parametrize("wrong", [{"port": 65_536}, {"port": -1}, {"processes": 0}, {"max_body": 0}, {"timeout": 0}])
def test_values_beyond_their_limits_are_refused(wrong):
    with pytest.raises(OptionError):
        ServeSettings(**wrong)
