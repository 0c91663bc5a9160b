"""Pictures for a network that is trained as a whole: decoded once, augmented anew in every epoch."""

from tlkit.data.augment import NOTHING, Working, choose_augmentation
from tlkit.data.batches import AugmentedRows
from tlkit.data.folder import ImageFolder
from tlkit.extraction import extract
from tlkit.progress import Progress
from tlkit.reading import Lower
from tlkit.settings import TrainingSettings
from tlkit.training.lower import there


def augmented_pictures(
    lower: Lower, part: ImageFolder, settings: TrainingSettings, progress: Progress
) -> AugmentedRows | None:
    """What such a training learns from; None where something is frozen or nothing is to be varied.

    lower: that leaves pixels as they are
    """
    augmentation = choose_augmentation(settings)
    if settings.freeze != "none" or augmentation == NOTHING:
        return None
    working = extract(part, there(lower), (settings.image_size, settings.resize), progress, Working())
    return AugmentedRows(working.rows(part), part.sha256, augmentation, settings.image_size, settings.seed)
