"""Opens an engine over a converted network."""

from pathlib import Path

from tlkit.engines.engine import Engine, choose_engine
from tlkit.errors import ModelError


def open_engine(name: str, file: Path, precision: str) -> Engine:
    """An engine over a converted network (`.tflite`), over a `.keras` file for "keras", over a `.npz` for "classic".

    raises: ModelError where the engine or the file cannot be used
    """
    choose_engine(name, precision)
    try:
        if name == "litert":
            from tlkit.engines.litert import LiteRTEngine

            return LiteRTEngine(file)
        if name == "openvino":
            from tlkit.engines.openvino import OpenVINOEngine

            return OpenVINOEngine(file, precision)
        if name == "classic":
            from tlkit.engines.classic import ClassicEngine

            return ClassicEngine(file)
        from tlkit.engines.keras import KerasEngine, load_network

        return KerasEngine(load_network(file))
    except (ValueError, RuntimeError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"the {name} engine cannot open '{file}' ({reason}); train or convert it anew.") from None
