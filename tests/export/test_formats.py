"""The registry: which formats there are, and what is refused before any work."""

import pytest

from tlkit.errors import ModelError, OptionError
from tlkit.export.formats import FORMATS, choose_formats, describe_left_out
from tlkit.settings.export import ExportSettings
from tlkit.utils.text import quote_names


def test_every_format_is_a_choice_of_the_option():
    for name in FORMATS:
        assert ExportSettings(format=name).format == name


def test_all_means_every_format_that_takes_the_quantization(monkeypatch):
    monkeypatch.setattr("tlkit.errors.find_spec", lambda name: True)
    assert list(choose_formats("all", "none")) == ["litert", "saved_model", "onnx", "openvino"]
    assert set(choose_formats("all", "dynamic")) == {name for name, row in FORMATS.items() if "dynamic" in row.quantize}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("quantize", ["none", "float16", "dynamic", "int8"])
def test_each_pair_is_taken_or_refused_by_name(name, quantize, monkeypatch):
    monkeypatch.setattr("tlkit.errors.find_spec", lambda name: True)
    if quantize in FORMATS[name].quantize:
        assert list(choose_formats(name, quantize)) == [name]
    else:
        with pytest.raises(OptionError, match=f"--format {name} takes --quantize .*, not {quantize}; formats that"):
            choose_formats(name, quantize)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("tlkit.errors.find_spec", lambda name: None if name == "nncf" else True)
    with pytest.raises(ModelError, match=r"--format openvino --quantize int8 needs nncf.*pip install 'tlkit\[nncf\]'"):
        choose_formats("openvino", "int8")
    assert quote_names(list(choose_formats("openvino", "none"))) == "'openvino'"


def test_all_leaves_out_what_does_not_take_an_option_and_says_so(monkeypatch):
    monkeypatch.setattr("tlkit.errors.find_spec", lambda name: True)
    chosen = choose_formats("all", "none", classic=True)
    assert list(chosen) == ["onnx"]
    left_out = "formats that do not take a classic classifier are left out: LiteRT, SavedModel, OpenVINO."
    assert describe_left_out(chosen, "none", False, True) == left_out
    left_out = "formats that do not take --quantize int8 are left out: SavedModel."
    assert describe_left_out(choose_formats("all", "int8"), "int8", False, False) == left_out
    left_out = "formats that do not take --with-resize are left out: LiteRT, OpenVINO."
    assert describe_left_out(choose_formats("all", "none", with_resize=True), "none", True, False) == left_out
    assert describe_left_out(choose_formats("all", "none"), "none", False, False) == ""


def test_resizing_is_for_two_formats_without_quantization(monkeypatch):
    monkeypatch.setattr("tlkit.errors.find_spec", lambda name: True)
    assert list(choose_formats("all", "none", with_resize=True)) == ["saved_model", "onnx"]
    for name in ("litert", "openvino", "hub"):
        with pytest.raises(OptionError, match=f"--with-resize takes --format saved_model or onnx, not {name}"):
            choose_formats(name, "none", with_resize=True)
    with pytest.raises(OptionError, match="--with-resize takes --quantize none, not int8"):
        choose_formats("onnx", "int8", with_resize=True)
