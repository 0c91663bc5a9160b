"""A `.tflite` file written operator by operator."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tlkit.engines.litert_file import ALIGNMENT, LiteRTFile


def small_file(constants):
    file = LiteRTFile()
    value = file.tensor("input", (1, 3))
    file.inputs = [value]
    for constant in constants:
        value = file.elementwise("Add", value, file.constant(constant))
    file.outputs = [value]
    return file.to_bytes()


def test_litert_file_runs():
    constants = [np.array([1, 2, 3], np.float32), np.float32(10)]
    interpreter = Interpreter(model_content=small_file(constants))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ones((1, 3), np.float32))
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), [[12, 13, 14]])


def test_litert_file_starts_every_constant_where_the_schema_asks_for_it():
    """Not every processor reads numbers from any address."""
    constants = [np.full(3, number, np.float32) for number in (1.5, 2.5, 3.5, 4.5, 5.5)]
    content = small_file(constants)
    assert [content.index(constant.tobytes()) % ALIGNMENT for constant in constants] == [0] * 5


def test_litert_file_shapes_are_broadcast():
    file = LiteRTFile()
    wide = file.tensor("input", (1, 2, 2, 3))
    assert file.shape(file.elementwise("Mul", wide, file.constant(np.ones(3, np.float32)))) == (1, 2, 2, 3)
