"""Processor and GPU, as the system describes them."""

from tlkit.utils.processor import read_gpu, read_processor

INTEL = "model name\t: Intel(R) Xeon(R) 8480\nflags\t\t: fpu sse2 avx avx2 avx512f amx_bf16\n\nprocessor : 1\n"
ARM = "processor : 0\nFeatures\t: fp asimd bf16 sve\nCPU implementer : 0x41\n"
GPU = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 120\nGPU UUID: \t GPU-1\n"


def test_processor_is_read_from_what_linux_lists(tmp_path):
    (tmp_path / "intel").write_text(INTEL)
    name, flags = read_processor(tmp_path / "intel")
    assert name == "Intel(R) Xeon(R) 8480"
    assert {"avx2", "amx_bf16"} < flags
    (tmp_path / "arm").write_text(ARM)
    assert read_processor(tmp_path / "arm")[1] == {"fp", "asimd", "bf16", "sve"}
    name, flags = read_processor(tmp_path / "missing")
    assert (bool(name), flags) == (True, frozenset())


def test_gpu_is_read_from_what_the_driver_lists(tmp_path):
    assert read_gpu(tmp_path / "gpus", tmp_path / "nvidia0") == ""
    (tmp_path / "nvidia0").touch()
    assert read_gpu(tmp_path / "gpus", tmp_path / "nvidia0") == "an NVIDIA GPU"
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    (tmp_path / "gpus" / "0000:01:00.0" / "information").write_text(GPU)
    assert read_gpu(tmp_path / "gpus", tmp_path / "nvidia0") == "NVIDIA H100 80GB HBM3"
