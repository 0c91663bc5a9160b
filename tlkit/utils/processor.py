"""Processor and GPU of this machine, read from the system without loading a library."""

import platform
import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
DRIVER, DEVICE = Path("/proc/driver/nvidia/gpus"), Path("/dev/nvidia0")


def read_processor(file: Path = CPUINFO) -> tuple[str, frozenset[str]]:
    """Read the name of the processor and its flags; without flags where the system does not list them."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    known = name[1].strip() if name else platform.processor() or platform.machine()
    return known, frozenset(flags[1].split() if flags else ())


def read_gpu(driver: Path = DRIVER, device: Path = DEVICE) -> str:
    """Read the name of the GPU that NVIDIA's driver manages; "" where there is none."""
    try:
        texts = [(folder / "information").read_text(errors="replace") for folder in sorted(driver.iterdir())]
    except OSError:
        texts = []
    names = [found[1].strip() for text in texts if (found := re.search(r"^Model:\s*(.+)$", text, re.MULTILINE))]
    return names[0] if names else "an NVIDIA GPU" * device.exists()
