"""tlkit's prediction over all images of a folder.

    python benchmarks/tlkit_predict.py RUN DATA [--engine NAME]

The last line is JSON: images, and images per second after start-up (importing, opening the run and a first batch
are not counted; the second pass opens new sessions all the same).
"""

import argparse
import json
import time
from pathlib import Path

from tlkit.inference.inputs import expand_inputs
from tlkit.inference.predictor import Predictor
from tlkit.runs.run import load_run

WARM_UP = 32  # images, as many as Keras's first batch


def main() -> None:
    """Predict a few to warm up, then everything."""
    parser = argparse.ArgumentParser(description="Time tlkit's prediction.")
    parser.add_argument("run", type=Path, help="a finished run")
    parser.add_argument("data", type=Path, help="a folder of images")
    parser.add_argument("--engine", default="auto", help="auto is the engine the run was made with")
    options = parser.parse_args()
    predictor = Predictor(load_run(options.run), options.engine)
    files = list(expand_inputs([str(options.data)]))
    count_readable(predictor, files[:WARM_UP])
    started = time.perf_counter()
    images = count_readable(predictor, files)
    rate = images / (time.perf_counter() - started)
    print(json.dumps({"images": images, "images_per_second": rate}))


def count_readable(predictor: Predictor, files: list[str]) -> int:
    """Predict all of these; returns how many were images."""
    return sum(prediction.status == "ok" for prediction in predictor.predict(files))


if __name__ == "__main__":
    main()
