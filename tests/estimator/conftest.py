import pytest

from tests.shared_runs import make_once

SMALL = {
    "backbone": "mobilenet_025",
    "freeze": "all",
    "image_size": 32,
    "hidden": "0",
    "epochs": 20,
    "batch_size": 16,
    "learning_rate": 0.01,
}  # a training of seconds


@pytest.fixture(scope="session")
def small(weights_file):
    """Parameters of an estimator that trains in a second."""
    pytest.importorskip("sklearn")
    return SMALL | {"weights": str(weights_file)}


@pytest.fixture(scope="session")
def samples(colors):
    """Paths and labels of the colored squares."""
    files = sorted(colors.rglob("*.png"))
    return [str(file) for file in files], [file.parent.name for file in files]


@pytest.fixture(scope="session")
def fitted(small, samples, tmp_path_factory):
    """A fitted classifier; every worker gets it out of a pickle."""
    from tlkit import ImageClassifier

    return make_once(tmp_path_factory, "estimator", lambda folder: ImageClassifier(**small).fit(*samples))
