"""The model card of a run."""

import json
import re
import shutil

import pytest

import tlkit
from tests.cli.commands import refused
from tests.cli.commands import tlkit as command
from tests.shared_runs import copy_run
from tlkit.report.card import card_text, plain_text, write_card

NAMES = ("a|b *c* <script>alert(1)</script>", "`code` [link](http://x.y) @user :cat:", 'the "best" 🐈 # 1')


def front_matter(card):
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(card.split("---\n")[1])


def test_every_run_has_a_card_with_its_figures(finetuned_run, blocks_run, scratch_run, classic_run):
    for run in (finetuned_run, blocks_run, scratch_run, classic_run):
        card, metrics = (run.path / "MODEL_CARD.md").read_text(encoding="utf-8"), run.read_json("metrics.json")
        correct = round(metrics["accuracy"] * metrics["num_validation"])
        low, high = metrics["accuracy_ci95"]
        assert f"**{100 * metrics['accuracy']:.1f} %** of the validation images" in card
        assert f"({correct} of 6); 95 % interval {100 * low:.1f} to {100 * high:.1f} %" in card
        assert "3 classes: blue, green, red" in card
        assert f"{metrics['num_train']} for training, 6 for validation" in card
        assert str(run.path.parent) not in card  # no path of this machine
        assert "MODEL_CARD.md" not in run.manifest.sha256
        for name, version in run.read_json("model.json")["versions"].items():
            assert f"{name} {version}" in card


def test_the_front_matter_is_what_the_hub_reads(finetuned_run):
    found = front_matter(card_text(finetuned_run))
    assert found["library_name"] == "tlkit"
    assert found["pipeline_tag"] == "image-classification"
    assert found["tags"] == ["tlkit", "image-classification", "mobilenet_025"]
    (result,) = found["model-index"][0]["results"]
    (metric,) = result["metrics"]
    assert metric["type"] == "accuracy"
    assert metric["value"] == pytest.approx(finetuned_run.read_json("metrics.json")["accuracy"], abs=1e-4)


def test_names_are_text():
    for name in NAMES:
        text = plain_text(name)
        assert re.sub(r"\\(.)", r"\1", text) == name  # a reader sees the name
        assert not re.search(r"(?<!\\)[*<>|`\[\]@:#]", text)
    assert plain_text("a\nb\x1b") == r"a\\nb\\x1b"
    assert plain_text("\udcff") == r"\\xff"
    assert plain_text("www.evil.org") == r"www\.evil.org"


@pytest.mark.training
def test_a_run_with_odd_names_has_a_card_in_which_they_are_text(colors, tmp_path):
    for folder, name in zip(("blue", "green", "red"), NAMES, strict=True):
        shutil.copytree(colors / folder, tmp_path / "da|ta" / name.replace("/", "∕"))
    settings = tlkit.ClassicSettings(descriptor="colors", classifier="naive-bayes", golden=False, report=False)
    run = tlkit.train_classic(tmp_path / "da|ta", tmp_path / "ru`n", settings).run
    card = (run.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "<script>" not in card
    assert "🐈" in card
    rows = [line for line in card.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    assert front_matter(card)["model-index"][0]["name"] == "ru`n"


def test_report_makes_the_card_again_and_replaces_nothing_else(finetuned_run, tmp_path):
    run = copy_run(finetuned_run, tmp_path)
    file = run.path / "MODEL_CARD.md"
    file.unlink()
    done = command("report", run.path)
    assert done.exit_code == 0, done.stderr
    assert f"card        {file}" in done.stdout.replace("\n            ", "")
    assert file.read_text(encoding="utf-8") == card_text(run)
    file.write_text("my notes")
    assert "is not a card that tlkit wrote; rename it" in refused(2, "report", run.path)
    assert file.read_text() == "my notes"
    file.unlink()
    (run.path / "metrics.json").write_text(json.dumps({}))
    with pytest.raises(tlkit.RunError):
        write_card(run)
    assert not file.exists()
