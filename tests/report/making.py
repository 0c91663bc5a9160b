"""Pages as tests read them, and runs with the figures they need."""

import json
from collections import Counter
from html.parser import HTMLParser

from tests.shared_runs import rewrite_json
from tlkit.runs.ledger import record_run
from tlkit.utils.files import sha256_file

HOSTILE = (
    "<script>window.ran=1</script>",
    "'\"><img src=x onerror=window.ran=1>",
    "{{ 7 * 7 }}",
    "</script><b>",
    "\u202eevil",
    "אבג",
    "\U0001f41c ant",
    "c" * 80,
)


class Page(HTMLParser):
    """The elements of a page: tags with their attributes, and the text outside of scripts and styles."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.html, self.tags, self.words, self.scripts, self._open = html, [], [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = tag if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        if self._open == "script":
            self.scripts.append(data)
        elif self._open is None:
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    @property
    def data(self):
        """What the script reads."""
        return json.loads(self.scripts[0])

    def count(self, tag):
        return Counter(name for name, _ in self.tags)[tag]

    def attributes(self, name):
        """Every value of an attribute, in order."""
        return [attrs[name] for _, attrs in self.tags if name in attrs]


def rewrite_rows(run, name, columns, rows):
    """Write another table into a finished run, as if the run had been made so."""
    run.write_rows(name, columns, rows)
    content = run.read_json("model.json")
    run.write_json("model.json", content | {"sha256": content["sha256"] | {name: sha256_file(run.path / name)}})
    record_run(sha256_file(run.path / "model.json"))


def with_predictions(run, rows):
    """Give a run these validation images: path, class and probabilities; metrics.json follows."""
    names = run.manifest.class_names
    correct = sum(names[probabilities.index(max(probabilities))] == name for _, name, probabilities in rows)
    table = [
        [path, name, names[probabilities.index(max(probabilities))], max(probabilities), *probabilities]
        for path, name, probabilities in rows
    ]
    columns = ["path", "class", "label", "confidence", *(f"p_{name}" for name in names)]
    rewrite_rows(run, "predictions_val.csv", columns, table)
    metrics = run.read_json("metrics.json") | {"accuracy": correct / len(rows), "num_validation": len(rows)}
    rewrite_json(run, "metrics.json", metrics)
    return run
