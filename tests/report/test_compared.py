"""The page that compares models: figures of known answers, hostile names, no network."""

import re
from dataclasses import replace

import pytest

from tests.report.making import HOSTILE, Page, with_predictions
from tests.shared_runs import copy_run
from tlkit.report.compared import ComparedImages, ComparedModel, make_comparison_page
from tlkit.report.images import MAX_THUMBNAILS

ANSWERS = {  # of each model to six images of the classes blue, blue, green, green, red, red
    "plain": "bbrrbg",
    "middle": "bggrbr",
    "deep": "bggrrg",
}
TRUTH = "bbggrr"
NAMES = {"b": "blue", "g": "green", "r": "red"}


def probabilities(letter, confidence):
    rest = (1 - confidence) / 2
    return [confidence if name[0] == letter else rest for name in ("blue", "green", "red")]


@pytest.fixture(scope="module")
def paths(colors):
    return [f"{NAMES[letter]}/{number}.png" for number, letter in enumerate(TRUTH)]


@pytest.fixture(scope="module")
def models(finetuned_run, paths, tmp_path_factory):
    """A baseline, and three runs with known answers."""
    found = [ComparedModel("the commonest class", "baseline", 2 / 6, (0.1, 0.7))]
    for number, (title, letters) in enumerate(ANSWERS.items()):
        run = copy_run(finetuned_run, tmp_path_factory.mktemp(title))
        rows = [
            (path, NAMES[true], probabilities(answer, 0.5 + index / 20 + number / 100))
            for index, (path, true, answer) in enumerate(zip(paths, TRUTH, letters, strict=True))
        ]
        with_predictions(run, rows)
        accuracy = sum(map(str.__eq__, letters, TRUTH)) / 6
        costs = ((f"{number} s", float(number)), ("10", 10.0), ("1 MB", 1e6))
        found.append(ComparedModel(title, "pretrained", accuracy, (accuracy / 2, 0.9), run, "similar", costs))
    return found


def page_of(models, root, **changes):
    values = {"advice": "Use deep.", "chosen": "deep", "notes": ["a note"]} | changes
    return Page(make_comparison_page(models, ComparedImages("colors", root), **values))


@pytest.fixture(scope="module")
def page(models, colors):
    return page_of(models, colors)


def section(page, name):
    start = page.html.index(f'<section id="{name}"')
    return Page(page.html[start : page.html.index("</section>", start)])


def test_every_model_has_its_accuracy_from_the_simplest(page):
    shown = section(page, "accuracy").text
    titles = ["the commonest class", "plain", "middle", "deep"]
    assert [shown.index(title) for title in titles] == sorted(shown.index(title) for title in titles)
    assert re.findall(r"\d+\.\d %", shown.replace("\xa0", " ")) == ["33.3 %", "33.3 %", "50.0 %", "50.0 %"]
    assert "deep recommended" in shown
    assert "50.0 %" in page.text.replace("\xa0", " ")[:200]
    assert "a note" in page.text


def test_the_table_has_numbers_to_sort_by(page):
    table = section(page, "models")
    assert [float(value) for value in table.attributes("data-value")[4::4]] == [1 / 3, 0.5, 0.5]
    assert table.attributes("data-kind") == ["number"] * 4
    assert table.count("tr") == 5


def test_mistakes_of_each_model_are_its_own_the_most_confident_first(page, paths):
    shown = section(page, "mistakes").text
    for title, letters in ANSWERS.items():
        wrong = sum(map(str.__ne__, letters, TRUTH))
        assert f"{title}: {wrong} of 6 images wrong" in shown
    of_simple = shown[shown.index("plain:") : shown.index("middle:")]
    assert re.findall(r"(?:blue|green|red)/\d\.png", of_simple) == [paths[index] for index in (5, 4, 3, 2)]


def test_agreement_is_the_fraction_of_equal_answers(page):
    equal = [[round(100 * sum(map(str.__eq__, a, b)) / 6) for b in ANSWERS.values()] for a in ANSWERS.values()]
    rows = [f"{title} {' '.join(map(str, row))}" for title, row in zip(ANSWERS, equal, strict=True)]
    assert [re.findall(r"\d+", row) for row in rows] == _rows_of_numbers(page)


def _rows_of_numbers(page):
    start = page.html.index('<section id="agreement"')
    body = page.html[start : page.html.index("</section>", start)]
    return [re.findall(r'class="cell[^"]*">(\d+)<', row) for row in body.split("<tr>")[2:]]


def test_images_that_one_or_no_model_gets_right(page, paths):
    correct = [[letters[i] == TRUTH[i] for letters in ANSWERS.values()] for i in range(6)]
    only = [i for i, found in enumerate(correct) if sum(found) == 1]
    none = [i for i, found in enumerate(correct) if not any(found)]
    assert only
    assert none
    shown = section(page, "only-one").text
    assert sorted(re.findall(r"(?:blue|green|red)/\d\.png", shown)) == sorted(paths[i] for i in only)
    for i in only:
        title = next(title for title, right in zip(ANSWERS, correct[i], strict=True) if right)
        assert re.search(rf"only {title} \(\d+.%\) {paths[i]}", shown)
    shown = section(page, "all-wrong").text
    assert re.findall(r"(?:blue|green|red)/\d\.png", shown) == [paths[i] for i in none]
    assert "red by 3 of 3" in shown


def test_images_have_thumbnails_and_nothing_is_loaded(page, models, paths):
    images = page.data["images"]
    assert {image[0] for image in images} <= set(paths)
    assert len(images) <= MAX_THUMBNAILS
    assert {int(value) for value in page.attributes("data-image")} <= set(range(len(images)))
    assert [
        value for value in page.attributes("src") + page.attributes("href") if not value.startswith(("#", "data:"))
    ] == []
    assert "default-src &#39;none&#39;" in page.html
    without = page_of(models, None)
    assert all(image[4] == "" for image in without.data["images"])


def test_one_model_has_neither_agreement_nor_images_of_its_own(models, colors):
    page = page_of([models[0], models[3]], colors)
    assert 'id="agreement"' not in page.html
    assert 'id="only-one"' not in page.html
    assert "3 of 6 images wrong" in page.text


def test_hostile_names_are_text(models, colors):
    for title in HOSTILE:
        hostile = [models[0], *(replace(model, title=f"{title} {number}") for number, model in enumerate(models[1:]))]
        page = page_of(hostile, colors, advice=title, chosen=f"{title} 2", notes=[title])
        assert len(page.scripts) == 2
        assert page.count("img") == len([1 for tag, attrs in page.tags if tag == "img" and "data-image" in attrs])
        assert "49" not in page.text.split("Accuracy")[0]
        assert "\u202e" not in page.html
