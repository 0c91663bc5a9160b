"""DATA in an object store against the same files on disk: which files of the run differ, processor seconds, secrets.

    TLKIT_TEST_DATA=... KERAS_HOME=... PYTHONPATH=. python benchmarks/object_store.py FOLDER

The store is moto's server on 127.0.0.1, which answers about 85 times a second, so wall times say nothing of another
one. FOLDER is made; it gets the runs of trashnet, each with a cache of its own.
"""

import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.object_store import running_store

DATA, URI = Path(os.environ["TLKIT_TEST_DATA"]) / "images" / "trashnet", "s3://trashnet/photos"
OPTIONS = ("--freeze", "all", "--backbone", "mobilenet_v2")


def timed(folder: Path, cache: str, *words: object) -> None:
    """Run a command, and print its processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "tlkit", *map(str, words), "--quiet"]
    subprocess.run(command, cwd=folder, env=os.environ | {"TLKIT_CACHE": str(folder / cache)}, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{' '.join(map(str, words))}: {seconds:.1f} s of processor time", flush=True)


def differences(one: Path, other: Path) -> list[str]:
    """List the files of two runs whose bytes differ."""
    files = [file.relative_to(one) for file in sorted(one.rglob("*")) if file.is_file()]
    return [str(file) for file in files if (one / file).read_bytes() != (other / file).read_bytes()]


def main() -> None:
    """Compare."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir()
    with running_store() as store:
        os.environ |= store.environment()
        store.upload(DATA, URI)
        timed(folder, "cache-disk", "finetune", DATA, *OPTIONS, "-o", "disk")
        timed(folder, "cache-store", "finetune", URI, *OPTIONS, "-o", "store")
        timed(folder, "cache-store", "finetune", URI, *OPTIONS, "-o", "again")
        timed(folder, "cache-disk", "predict", "disk", DATA, "-o", "disk.csv")
        timed(folder, "cache-store", "predict", "store", URI, "-o", "store.csv")
        secrets = [store.secret.encode(), store.access_key.encode()]
        contents = ((file, file.read_bytes()) for file in folder.rglob("*") if file.is_file())
        print("with a secret:", [str(file) for file, content in contents if any(word in content for word in secrets)])
    print("files that differ:", *differences(folder / "disk", folder / "store"))
    weights = [zipfile.ZipFile(folder / name / "model.keras").read("model.weights.h5") for name in ("disk", "store")]
    print("weights are the same:", weights[0] == weights[1])
    tables = [(folder / "disk.csv").read_text().replace(str(DATA), URI), (folder / "store.csv").read_text()]
    print("predictions are the same:", tables[0] == tables[1])


if __name__ == "__main__":
    main()
