"""LiteRT (`.tflite`): phones, microcomputers and browsers.

A zip archive follows the network in the file, as TensorFlow's tools for associated files write it. It has labels.txt
and model.json; `unzip -p model.tflite labels.txt` prints the first.
"""

import io
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tlkit.export.base import PIXELS, PROBABILITIES, ExportSource, RuntimeFunction
from tlkit.export.saved_model import SIGNATURE, saved_network
from tlkit.utils.parallel import count_workers
from tlkit.utils.silence import silenced_stderr

NAME = "model.tflite"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # as the time of archived files, so that equal content makes equal files


class LiteRTExporter:
    """Writes `model.tflite` with one signature, with any batch."""

    def write(self, source: ExportSource, folder: Path) -> None:
        """Convert the network by way of a SavedModel, which gives the signature its names."""
        with saved_network(source) as saved, silenced_stderr():
            content = _convert(saved, source)
        (folder / NAME).write_bytes(content + archive(source.associated, len(content)))

    def open(self, folder: Path) -> RuntimeFunction:
        """Open the file with the LiteRT runtime, on all processors."""
        from ai_edge_litert.interpreter import Interpreter

        with silenced_stderr():
            interpreter = Interpreter(str(folder / NAME), num_threads=count_workers())
            runner = interpreter.get_signature_runner(SIGNATURE)
        return lambda pixels: np.array(runner(**{PIXELS: pixels})[PROBABILITIES])


def _convert(saved: Path, source: ExportSource) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=[SIGNATURE])
    if source.quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if source.quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if source.quantize == "int8":
        assert source.calibration is not None
        converter.representative_dataset = lambda: _rows(source.calibration)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow calibrates with its own interpreter, which it has deprecated
        return bytes(converter.convert())


def _rows(calibration: Any) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    for row in calibration:
        yield SIGNATURE, {PIXELS: row[np.newaxis]}


def archive(files: dict[str, bytes], offset: int) -> bytes:
    """Make a zip archive that follows `offset` bytes of something else in a file."""
    buffer = io.BytesIO(bytes(offset))
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a") as opened:
        for name, content in files.items():
            opened.writestr(zipfile.ZipInfo(name, LONG_AGO), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()[offset:]
