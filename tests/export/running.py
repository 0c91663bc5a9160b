"""What the tests of ONNX share: files and parts of graphs in ONNX Runtime."""

import onnx
from onnx import helper

from tlkit.export.onnx.graph import IR_VERSION, ML_OPSET, OPSET


def open_session(content):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_onnx(content, pixels):
    (probabilities,) = open_session(content).run(["probabilities"], {"pixels": pixels})
    return probabilities


def run_graph(graph, output, values):
    """Compute a value of a graph whose only input has the name "values"; its type is that of the array."""
    inputs = [helper.make_tensor_value_info("values", helper.np_dtype_to_tensor_dtype(values.dtype), values.shape)]
    outputs = [helper.make_empty_tensor_value_info(output)]
    made = helper.make_graph(graph.nodes, "part", inputs, outputs, list(graph.constants))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(made, ir_version=IR_VERSION, opset_imports=opsets)
    content = onnx.shape_inference.infer_shapes(model).SerializeToString()
    return open_session(content).run(None, {"values": values})[0]
