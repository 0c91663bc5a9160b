"""Settings of `tlkit robustness`."""

import pytest

from tlkit.errors import OptionError
from tlkit.settings.robustness import RobustnessSettings


def test_values_out_of_limits_are_refused():
    with pytest.raises(OptionError, match="--max-images is -1; expected at least 0"):
        RobustnessSettings(max_images=-1)
    with pytest.raises(OptionError, match="--split is 'half'; expected one of auto, train"):
        RobustnessSettings(split="half")
