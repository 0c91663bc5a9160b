"""tlkit's own steps up to the features, as `tlkit finetune` takes them, for the scripts that look at one of them."""

from concurrent.futures import ThreadPoolExecutor

from tlkit.features.extractor import ExtractorSpec, FrozenExtractor, build_extractor
from tlkit.training.network import NetworkRecipe


def ready_extractor(recipe: NetworkRecipe) -> FrozenExtractor:
    """Open the frozen part of a recipe's network, converted; Keras is imported only if it is not cached."""
    source, spec = recipe.source, ExtractorSpec(recipe.image, recipe.engine)
    with ThreadPoolExecutor(1) as background:
        return build_extractor(background, source.build, source.identity(), spec).result()
