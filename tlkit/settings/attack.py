"""Settings of `tlkit attack`."""

from dataclasses import dataclass
from typing import Literal

from tlkit.errors import OptionError
from tlkit.settings.base import documented, setting, validate
from tlkit.settings.shared import MAX_SEED, LayoutSettings, trust_model_option

MAX_EPSILON = {"linf": 255.0, "l2": 1e6}  # gray levels


@documented
@dataclass(frozen=True, kw_only=True)
class AttackSettings(LayoutSettings):
    """Settings of `tlkit attack`."""

    method: Literal["auto", "fgsm", "pgd", "square", "universal", "patch"] = setting(
        "auto",
        "Main",
        "Attack: fgsm (one step along the gradient), pgd (many steps), square (queries only, for every kind of RUN), "
        "universal (one pattern for all images), patch (one to print and lay on them); auto is pgd for a network, "
        "square for others.",
    )
    epsilon: str = setting(
        "2",
        "Main",
        "Largest change, in gray levels (1/255). Several, e.g. 1,2,4, give the accuracy at each; the images are those "
        "of the last.",
    )
    norm: Literal["linf", "l2"] = setting(
        "linf", "Main", "What epsilon limits: linf the change of every value, l2 the length of all changes together."
    )
    target: str = setting("", "Main", "Class that the images should be taken for. Default: any wrong class.")
    steps: int = setting(
        0,
        "Main",
        "Steps of pgd or queries of square per image, 20 or 300 by default; batches to learn universal or patch on, "
        "100 or 150.",
        min=0,
        max=100_000,
    )
    max_images: int = setting(0, "Main", "Number of images to attack, spread over DATA; 0 for all.", min=0)
    patch_size: float = setting(
        0.35, "Main", "Diameter of the patch, as a fraction of the side of the image.", min=0.05, max=1
    )
    learn_from: str = setting(
        "", "Main", "Folder of images to learn universal or patch on. Default: the training images of RUN."
    )
    pattern: str = setting("", "Output", "PNG file for the pattern of universal, or for the patch, to print.")
    tables: str = setting(
        "", "Output", "New folder for accuracy.csv, images.csv, confusion.csv, attack.json and accuracy.png."
    )
    sheet: str = setting(
        "", "Output", "PNG file with original + pattern = adversarial image. Default for one image: attack.png."
    )
    seed: int = setting(0, "Main", "Random seed of the starting points.", min=0, max=MAX_SEED)
    trust_model: bool = trust_model_option()

    def __post_init__(self) -> None:
        validate(self)
        _ = self.epsilons

    @property
    def epsilons(self) -> tuple[float, ...]:
        """The values of --epsilon, the smallest first.

        Raises:
            OptionError: if they are not numbers in the range, or are not whole for the norm "linf"
        """
        limit = MAX_EPSILON[self.norm]
        try:
            values = sorted({float(part) for part in self.epsilon.split(",")})
        except ValueError:
            raise OptionError(f"--epsilon is '{self.epsilon}'; expected numbers such as 2 or 1,2,4.") from None
        if not all(0 <= value <= limit for value in values):
            raise OptionError(f"--epsilon is '{self.epsilon}'; expected 0 to {limit:,.0f} gray levels.")
        if self.norm == "linf" and not all(value.is_integer() for value in values):
            raise OptionError(
                f"--epsilon is '{self.epsilon}'; a file has whole gray levels: expected whole numbers, or --norm l2."
            )
        return tuple(values)
