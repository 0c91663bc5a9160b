"""A program that fills the cache with features, a few at a time, beside others that do the same."""

import numpy as np

from tlkit.data.appearance import APPEARANCE
from tlkit.data.image import ImageSpec
from tlkit.features.shards import FeatureRecord
from tlkit.features.store import FeatureKey, FeatureStore

KEY = FeatureKey(1, ImageSpec(64), "litert", "1.0", "float32", "ab" * 32, "features")
NUM_RECORDS, SHARD_RECORDS = 200, 5


def record(number: int) -> FeatureRecord:
    """Make the features of an image that nobody drew."""
    values = np.random.default_rng(number).normal(size=2000).astype(np.float32)
    return FeatureRecord(f"{number:064x}", f"{number:032x}", np.zeros((), APPEARANCE)[()], values)


def fill() -> None:
    """Add every record that is missing."""
    store = FeatureStore(KEY)
    for start in range(0, NUM_RECORDS, SHARD_RECORDS):
        records = [record(number) for number in range(start, start + SHARD_RECORDS)]
        store.add([item for item in records if not store.find(item.sha256)])


if __name__ == "__main__":
    fill()
