"""Shards made from a folder of classes."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow
from pyarrow import parquet


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add one member."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def classes_of(folder: Path) -> list[tuple[Path, str]]:
    """List the images of a folder of classes, with their classes."""
    return [(file, file.parent.name) for file in sorted(folder.rglob("*.*")) if file.is_file()]


def write_tars(folder: Path, output: Path, count: int = 3, name: str = "photos-{:04}.tar") -> list[Path]:
    """Write WebDataset shards: an image and its class beside it."""
    output.mkdir(parents=True, exist_ok=True)
    images, files = classes_of(folder), []
    for number in range(count):
        files.append(output / name.format(number))
        with tarfile.open(files[-1], "w") as tar:
            for file, label in images[number::count]:
                key = f"{label}_{file.stem}"
                add(tar, f"{key}{file.suffix}", file.read_bytes())
                add(tar, f"{key}.cls", label.encode())
    return files


def write_parquet(folder: Path, output: Path, rows: int = 4, names: bool = True, paths: bool = True) -> Path:
    """Write the images as data sets of Hugging Face have them.

    rows    of a row group
    names   whether labels are numbers with names in the metadata
    """
    images = classes_of(folder)
    classes = sorted({label for _, label in images})
    structs = [{"bytes": file.read_bytes()} | ({"path": file.name} if paths else {}) for file, _ in images]
    labels = [classes.index(label) if names else label for _, label in images]
    table = pyarrow.table({"image": structs, "label": labels})
    features = {"image": {"_type": "Image"}, "label": {"names": classes, "_type": "ClassLabel"}}
    if names:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    output.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, output, row_group_size=rows)
    return output
