"""ONNX files, written from the graph of a network or from a classic pipeline."""
