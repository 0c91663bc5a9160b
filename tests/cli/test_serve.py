"""`tlkit serve`: what it refuses before it serves; tests/serve has the rest."""

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from tests.cli.commands import refused
from tlkit.serve.server import bind_socket


def test_what_cannot_be_served_is_refused_in_a_sentence(finetuned_run, tmp_path):
    assert "there is no run folder" in refused(4, "serve", tmp_path / "nowhere", "--port", "0")
    assert "add --token-file FILE" in refused(2, "serve", finetuned_run.path, "--host", "0.0.0.0", "--port", "0")
    missing = tmp_path / "token"
    assert "cannot be read" in refused(2, "serve", finetuned_run.path, "--token-file", missing)
    bound = bind_socket("127.0.0.1", 0, has_token=False)
    words = refused(2, "serve", finetuned_run.path, "--port", bound.getsockname()[1])
    bound.close()
    assert "choose another with --port" in words
    assert "are both named" in refused(2, "serve", finetuned_run.path, finetuned_run.path, "--port", "0")


def test_a_missing_package_is_named(finetuned_run, monkeypatch):
    import tlkit.errors

    find_spec = tlkit.errors.find_spec
    monkeypatch.setattr(tlkit.errors, "find_spec", lambda name: None if name == "uvicorn" else find_spec(name))
    words = refused(4, "serve", finetuned_run.path)
    assert words == "`tlkit serve` needs uvicorn, which is not installed: pip install 'tlkit[serve]'."
