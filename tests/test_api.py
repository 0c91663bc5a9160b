"""The Python interface: short reprs, data frames, options as help, mistakes that are explained."""

import html
import inspect
import re
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


def html_of(thing):
    made = thing._repr_html_()
    assert made.startswith("<div>")
    assert made.endswith("</div>")
    assert "color:" not in made.replace("background:", "")  # the notebook's own, light or dark
    return re.sub("<[^>]*>", " ", made)


def test_results_show_themselves_in_a_notebook(finetuned, comparison, run, colors):
    report, low, high = finetuned.report, *(f"{100 * value:.1f}" for value in finetuned.report.interval)
    figures = f"{100 * report.accuracy:.1f} % ({report.num_correct} of 6 images)"
    for shown in (finetuned, report, tlkit.evaluate(run)):
        assert figures in html_of(shown)
        assert f"{low} to {high} %" in html_of(shown)
        assert [name in html_of(shown) for name in ("blue", "green", "red")] == [True] * 3
    assert str(run.path) in html_of(finetuned)
    assert f"{100 * report.accuracy:.1f} % ({low} to {high} %) on validation images" in html_of(run)
    assert "3 classes" in html_of(run)
    folder = html_of(tlkit.read_folder(colors))
    assert "36" in folder
    assert len(re.findall(r"\b12\b", folder)) >= 3
    for result in comparison.results:
        assert result.title in html_of(comparison)
        assert f"{100 * result.accuracy:.1f} %" in html_of(comparison)
    assert comparison.recommendation.reason in html.unescape(html_of(comparison))


def test_a_prediction_shows_its_image_in_a_notebook(run, colors, tmp_path):
    (shown,) = tlkit.predict(run, colors / "red" / "3.png", top_k=3)
    assert "data:image/jpeg;base64," in shown._repr_html_()
    assert [name in html_of(shown) for name in ("blue", "green", "red")] == [True] * 3
    (tmp_path / "notes.txt").write_text("no image")
    (broken,) = tlkit.predict(run, tmp_path / "notes.txt")
    assert "is text, not an image" in html_of(broken)
    assert "<img" not in broken._repr_html_()
    unknown = tlkit.Prediction("<array>", "unknown", "<b>", 0.4, reason="not sure")
    assert "&lt;array&gt;" in unknown._repr_html_()
    assert "unknown: not sure" in html_of(unknown)
    assert "<b>&lt;b&gt;" not in unknown._repr_html_()


def test_a_damaged_run_shows_its_folder_in_a_notebook(own_run):
    for name in ("metrics.json", "settings.json", "model.json"):
        (own_run.path / name).write_text('{"headline": [], "accuracy": "<script>"}')
        assert str(own_run.path) in html_of(own_run)
    assert "folder" in html_of(tlkit.Run(own_run.path / "nothing"))


def test_a_run_with_impossible_figures_shows_its_folder_in_a_notebook(own_run):
    for figure in ("1" + 400 * "0", "[]", '"<script>"', "null"):
        text = f'{{"headline": "validation", "accuracy": {figure}, "accuracy_ci95": [0, 1]}}'
        (own_run.path / "metrics.json").write_text(text)
        assert str(own_run.path) in html_of(own_run)
        assert "accuracy" not in html_of(own_run)


def test_plot_confusion_gives_a_figure_that_a_notebook_shows(finetuned, run):
    for figure in (finetuned.plot_confusion(), tlkit.evaluate(run).plot_confusion()):
        assert figure._repr_png_().startswith(b"\x89PNG")
        counts = finetuned.report.confusion
        written = [text.get_text() for text in figure.axes[0].texts]
        assert written == [str(count) for count in counts.ravel() if count]


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
