"""What must be equal on every machine, and how a difference is told."""

from dataclasses import replace

import pytest

from tlkit.distributed.software import software_difference, this_software


def test_a_process_describes_what_it_decodes_and_computes_with() -> None:
    software = this_software()
    assert "tlkit " in software.packages
    assert "pillow " in software.packages
    assert "zlib " in software.codecs
    assert software.processor
    assert software == this_software()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"python": "3.9"}, "its python is '3.9' instead of"),
        ({"packages": "tlkit 1, pillow 2"}, "its packages are 'pillow 2' instead of 'pillow 1'"),
        ({"codecs": ""}, "its codecs are 'none' instead of 'jpg 8'"),
        ({"processor": "x86_64"}, "its processor lacks avx2"),
        ({"processor": "x86_64 avx2 avx512f"}, "its processor has avx512f"),
        ({"processor": "aarch64 asimd"}, "its processor is 'aarch64, asimd' instead of 'x86_64, avx2'"),
    ],
)
def test_a_difference_is_told_in_words(change: dict[str, str], words: str) -> None:
    ours = replace(
        this_software(), python="3.12", packages="tlkit 1, pillow 1", codecs="jpg 8", processor="x86_64 avx2"
    )
    assert software_difference(ours, ours) == ""
    assert words in software_difference(replace(ours, **change), ours)
