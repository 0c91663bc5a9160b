"""The Python interface: short reprs, data frames, options as help, mistakes that are explained."""

import inspect
from dataclasses import fields

import pytest

import tlkit
from tlkit.settings import commands, training

SETTINGS = [
    value
    for module in (commands, training)
    for name, value in vars(module).items()
    if inspect.isclass(value) and hasattr(value, "__post_init__")
]


def test_every_public_name_can_be_imported():
    assert [name for name in tlkit.__all__ if not hasattr(tlkit, name)] == []


def test_results_have_a_short_repr_that_tells_what_they_are(finetuned, comparison, run, colors, tmp_path):
    export = tlkit.export_features(colors, tmp_path / "f.npz", run=str(run.path))
    results = [
        *(finetuned, finetuned.report, finetuned.metrics, finetuned.split, finetuned.run, finetuned.run.manifest),
        *(comparison, comparison.recommendation, *comparison.results, tlkit.read_folder(colors), export),
        *(tlkit.evaluate(run), tlkit.Predictor(run), *tlkit.predict(run, colors / "red")),
    ]
    for result in results:
        assert repr(result).startswith(type(result).__name__), type(result)
        assert len(repr(result)) < 500, repr(result)
    assert f"{finetuned.report.num_correct} of 6" in repr(finetuned)
    assert "36 images, 3 classes" in repr(tlkit.read_folder(colors))


def test_results_become_data_frames(run, comparison, colors, tmp_path):
    pytest.importorskip("pandas")
    evaluation = tlkit.evaluate(run)
    frame = evaluation.to_pandas()
    assert list(frame.columns) == ["path", "class", "label", "confidence", "p_blue", "p_green", "p_red"]
    assert (frame["class"] == frame["label"]).mean() == evaluation.report.accuracy
    frame = comparison.to_pandas()
    assert frame["model"].tolist() == [result.name for result in comparison.results]
    assert frame["accuracy"].max() == max(result.accuracy for result in comparison.results)
    export = tlkit.export_features(colors, tmp_path / "f.npz", run=str(run.path))
    frame = export.to_pandas()
    assert frame.shape == (export.shape[0], export.shape[1] + 3)
    assert list(frame.columns[:4]) == ["path", "class", "split", "feature_0"]
    assert set(frame["class"]) == {"blue", "green", "red"}


def test_settings_have_the_help_of_every_option_in_their_docstring():
    assert {tlkit.FinetuneSettings, tlkit.EvaluateSettings} <= set(SETTINGS)
    for settings in SETTINGS:
        lines = inspect.getdoc(settings).splitlines()
        options = lines[lines.index("Attributes:") + 1 :]
        assert len(options) == len(fields(settings)), settings
        for line, item in zip(options, fields(settings), strict=True):
            assert line.startswith(f"    {item.name} ("), settings
            assert item.metadata["help"] in line
            assert line.count("Default: ") == 1
            assert f"Default: {item.default!r}" in line or "Default: " in item.metadata["help"]


def test_settings_show_what_differs_from_the_defaults():
    assert repr(tlkit.FinetuneSettings()) == "FinetuneSettings()"
    assert repr(tlkit.FinetuneSettings(seed=1, freeze="all")) == "FinetuneSettings(freeze='all', seed=1)"


MISTAKES = {
    "finetune": ("x", tlkit.FinetuneSettings()),
    "train": ("x", tlkit.TrainSettings()),
    "train_classic": ("x", tlkit.ClassicSettings(descriptor="hog")),
    "compare": ("x", tlkit.CompareSettings()),
    "evaluate": (None, tlkit.EvaluateSettings()),
    "export_features": ("x", tlkit.FeaturesSettings()),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_settings_in_the_place_of_another_argument_are_explained(name, run):
    first, settings = MISTAKES[name]
    with pytest.raises(tlkit.OptionError) as caught:
        getattr(tlkit, name)(first or run, settings)
    kind = type(settings).__name__
    assert f"is of type {kind}; expected a path" in str(caught.value)
    assert f"settings={kind}(" in str(caught.value)


def test_settings_of_another_command_are_refused():
    for given in (tlkit.TrainSettings(), {"seed": 1}, "all"):
        with pytest.raises(tlkit.OptionError, match=f"{type(given).__name__}; expected FinetuneSettings"):
            tlkit.finetune("x", settings=given)


def test_a_run_that_is_none_is_refused_with_a_sentence(finetuned, colors):
    with pytest.raises(tlkit.OptionError, match="TrainingResult.*give its `run`"):
        tlkit.predict(finetuned, colors)
    with pytest.raises(tlkit.OptionError, match="int"):
        tlkit.load_run(3)
