"""What OpenVINO has alone: bfloat16."""

import numpy as np
import pytest

from tests.networks import relative_difference
from tlkit.engines.base import EngineSpec, run_in_batches
from tlkit.engines.factory import open_engine
from tlkit.errors import ModelError

openvino = pytest.importorskip("openvino")
BFLOAT16 = EngineSpec("openvino", "bfloat16")


def test_bfloat16_is_close_or_refused_where_the_processor_has_no_such_arithmetic(network_files, pixels, expected):
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(ModelError, match="--precision bfloat16"):
            open_engine(BFLOAT16, network_files["openvino"])
        return
    engine = open_engine(BFLOAT16, network_files["openvino"])
    outputs = run_in_batches(engine, engine.session(), pixels)
    assert outputs.dtype == np.float32
    assert 1e-6 < relative_difference(outputs, expected) < 1e-1
    backwards = run_in_batches(engine, engine.session(), pixels[::-1])
    np.testing.assert_array_equal(backwards[::-1], outputs)
