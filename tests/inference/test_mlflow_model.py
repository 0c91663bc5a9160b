"""A run as an MLflow model; MLflow is not among the packages of the developers, so most is skipped without it."""

import base64
import subprocess
import sys

import numpy as np
import pytest

import tlkit
from tlkit.inference.mlflow_model import _load_pyfunc, save_mlflow
from tlkit.inference.tables import predictions_to_pandas

pytest.importorskip("pandas")


def test_the_rows_are_those_of_predict(finetuned_run, colors, tmp_path):
    import pandas

    files = [str(file) for file in sorted(colors.rglob("*.png"))[::6]]
    content = [open(file, "rb").read() for file in files]  # noqa: PTH123, SIM115
    expected = predictions_to_pandas(tlkit.predict(finetuned_run, files)).drop(columns="path")
    model = _load_pyfunc(str(finetuned_run.path))
    texts = [base64.b64encode(data).decode() for data in content]
    for given in (files, content, texts, pandas.DataFrame({"image": files}), pandas.Series(files), np.array(files)):
        rows = model.predict(given)
        assert rows.drop(columns="path").equals(expected)
    assert list(model.predict(files)["path"]) == files
    missing = model.predict([str(tmp_path / "missing.png")])
    assert list(missing["status"]) == ["error"]


def test_without_mlflow_it_is_one_sentence(finetuned_run, tmp_path, monkeypatch):
    monkeypatch.setattr("tlkit.errors.find_spec", lambda name: None)
    with pytest.raises(tlkit.ModelError, match="an MLflow model needs mlflow, which is not installed"):
        save_mlflow(finetuned_run, tmp_path / "model")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_loads_the_model_in_another_process(finetuned_run, colors, tmp_path):
    pytest.importorskip("mlflow")
    folder = save_mlflow(finetuned_run, tmp_path / "model")
    with pytest.raises(tlkit.OptionError, match="already exists"):
        save_mlflow(finetuned_run, folder)
    text = (folder / "MLmodel").read_text()
    assert "loader_module: tlkit.inference.mlflow_model" in text
    assert f"tlkit=={tlkit.__version__}" in (folder / "requirements.txt").read_text()
    assert not list(folder.rglob("*.pkl"))
    code = (
        "import sys, mlflow.pyfunc as pyfunc; "
        "print(*pyfunc.load_model(sys.argv[1]).predict(sys.argv[2:])['label'], 'tensorflow' in sys.modules)"
    )
    files = [str(colors / name / "0.png") for name in ("red", "blue")]
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), *files], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.split() == ["red", "blue", "False"], done.stderr
