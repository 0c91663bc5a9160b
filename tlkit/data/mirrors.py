"""Do pictures keep their class in a mirror? Names of classes give it away."""

import re
from collections.abc import Sequence

SIDED = re.compile(r"(?:^|[^a-z])(left|right|links|rechts|gauche|droite|clockwise|anticlockwise)(?:[^a-z]|$)")


def sided_class(class_names: Sequence[str]) -> str | None:
    """The first class that a mirror could turn into another, by its name: digits, letters and sides.

    >>> sided_class(["ant", "bee"]), sided_class(["turn_left", "turn_right"])
    (None, 'turn_left')
    """
    names = [name.lower() for name in class_names]
    signs = [name for name in names if len(name) == 1 and name.isalnum()]
    found = [name for name in names if SIDED.search(name)] or (signs if 2 * len(signs) > len(names) else [])
    return found[0] if found else None


def mirror_hint(class_names: Sequence[str], flip: bool) -> str | None:
    """What to say where there is such a class.

    flip: whether half of the views are mirrored
    """
    name = sided_class(class_names)
    if name is None:
        return None
    looks = f"classes such as '{name}' may look different in a mirror"
    if flip:
        return f"half of the views are mirrored, and {looks}; --no-hflip keeps them as they are."
    return f"no view is mirrored, for {looks}; --hflip mirrors half of them."
