"""Size, speed and accuracy of quantized exports: `python benchmarks/export.py RUN...`, runs of several seeds.

Every run is exported in every quantization, and each file is compared with the same format in float32: the bytes, the
images a second one at a time (both in turn, on this machine), and the accuracy on all validation images. A row has the
means over the runs, and the largest loss of accuracy of one run.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from tlkit.export.export import export_run
from tlkit.export.formats import FORMATS

ONE_RUN = ("float16", "dynamic")  # of one run only


def measure(run: Path, name: str, quantize: str) -> dict[str, float]:
    """Export a run, and give the figures of its export.json."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "export"
        export_run(run, output, format=name, quantize=quantize, max_drop=100.0)
        found = json.loads((output / "export.json").read_text())["formats"][name]
    return {
        "size": found["num_bytes"] / found["float32"]["num_bytes"],
        "speed": found["images_per_second"] / found["float32"]["images_per_second"],
        "images_per_second": found["images_per_second"],
        "agreement": found["agreement"],
        "before": found["accuracy_before"],
        "after": found["accuracy_after"],
        "drop": found["accuracy_drop"],
        "images": found["num_validation"],
    }


def main() -> None:
    """Print a row of Markdown for each format and quantization."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--quantize", nargs="+", default=["int8", *ONE_RUN])
    parser.add_argument("--formats", nargs="+", default=list(FORMATS))
    parser.add_argument("-o", "--output", type=Path, help="JSON file with every figure")
    arguments = parser.parse_args()
    rows = []
    for quantize in arguments.quantize:
        for name, row in FORMATS.items():
            if quantize not in row.quantize or name not in arguments.formats:
                continue
            runs = arguments.runs[:1] if quantize in ONE_RUN else arguments.runs
            found = [measure(run, name, quantize) for run in runs]
            mean = {key: statistics.mean(figures[key] for figures in found) for key in found[0]}
            rows.append({"format": name, "quantize": quantize, "runs": found})
            print(
                f"| {name} {quantize} | {mean['size']:.2f} | {mean['speed']:.2f} | {100 * mean['before']:.1f} % | "
                f"{100 * mean['after']:.1f} % | {100 * mean['drop']:.2f} ({100 * max(f['drop'] for f in found):.2f}) | "
                f"{100 * mean['agreement']:.1f} % |",
                flush=True,
            )
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
