"""Tables, plot and sheet of an attack."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from tlkit.evaluation.metrics import wilson_interval
from tlkit.robustness.attack import attack
from tlkit.robustness.attack_sheet import accuracy_rows, pattern_shown, result_json, sheet_png, taken_for, write_attack


@pytest.fixture(scope="module")
def result(finetuned_run, colors):
    return attack(finetuned_run, colors, epsilon="10,40", steps=3)


def test_tables_agree_with_the_images(result, tmp_path):
    content = result_json(result)
    write_attack(result, tmp_path / "tables", content)
    assert json.loads((tmp_path / "tables/attack.json").read_text()) == json.loads(json.dumps(content))
    rows = list(csv.DictReader((tmp_path / "tables/images.csv").open()))
    wrong = [row for row in rows if row["class"] != row["after"]]
    assert content["adversarial_accuracy"] == pytest.approx(1 - len(wrong) / len(rows))
    assert content["ci95"] == list(wilson_interval(len(rows) - len(wrong), len(rows)))
    table = list(csv.DictReader((tmp_path / "tables/accuracy.csv").open()))
    for epsilon in ("0.0", "10.0", "40.0"):
        own = [row for row in table if row["epsilon"] == epsilon]
        assert sum(int(row["correct"]) for row in own[1:]) == int(own[0]["correct"])
        assert int(own[0]["images"]) == len(rows)
    pairs = {(entry["class"], entry["answer"]): entry["images"] for entry in content["taken_for"]}
    assert sum(pairs.values()) == len(wrong) > 0
    assert all(
        sum(row["class"] == own and row["after"] == answer for row in wrong) == n for (own, answer), n in pairs.items()
    )
    assert Image.open(tmp_path / "tables/accuracy.png").width > 500


def test_before_the_attack_is_epsilon_zero(result):
    (row,) = [row for row in accuracy_rows(result) if row[0] == 0 and not row[1]]
    assert row[4] == result.clean.accuracy
    assert [count for *_, count in taken_for(result)] == sorted((c for *_, c in taken_for(result)), reverse=True)


def test_the_pattern_is_amplified_around_gray(result):
    image = result.images[0]
    shown = pattern_shown(image).astype(float)
    pattern = image.adversarial.astype(float) - image.original
    assert shown[pattern == 0].min() == shown[pattern == 0].max() == 128 if (pattern == 0).any() else True
    assert shown.max() == 255 or shown.min() <= 1
    assert np.corrcoef(shown.ravel(), pattern.ravel())[0, 1] > 0.999


def test_the_sheet_has_a_row_for_each_image(result):
    sizes = [Image.open(io.BytesIO(sheet_png(result.images[:count], result))).size for count in (1, 2)]
    assert sizes[0][0] == sizes[1][0] and sizes[1][1] == 2 * sizes[0][1]
