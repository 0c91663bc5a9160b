import subprocess
import sys
from pathlib import Path

from tlkit.utils.process import folder_of_process, remove_folders_of_process


def test_folder_of_process_lives_until_it_is_removed():
    folders = [folder_of_process(), folder_of_process()]
    (folders[0] / "network.tflite").write_bytes(b"bytes")
    assert folders[0] != folders[1]
    assert all(folder.name.startswith("tlkit-") and folder.is_dir() for folder in folders)
    remove_folders_of_process()
    assert not any(folder.exists() for folder in folders)
    assert folder_of_process().is_dir()


def test_folder_of_process_is_gone_after_its_end(tmp_path):
    program = "from tlkit.utils.process import *; file = folder_of_process() / 'x'; file.write_text('x'); print(file)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    file = Path(done.stdout.strip())
    assert file.name == "x"
    assert not file.parent.exists()
