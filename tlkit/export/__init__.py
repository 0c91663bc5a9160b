"""Finished runs as files for other programs: LiteRT, SavedModel, ONNX, OpenVINO."""
