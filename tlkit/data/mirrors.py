"""Do pictures keep their class in a mirror? Names of classes give it away."""

import re
from collections.abc import Sequence

SIDED = re.compile(r"(?:^|[^a-z])(left|right|links|rechts|gauche|droite|clockwise|anticlockwise)(?:[^a-z]|$)")


def mirror_hint(class_names: Sequence[str]) -> str | None:
    """A sentence where classes look as if a mirror could turn one into another, such as digits, letters and sides.

    >>> mirror_hint(["ant", "bee"]) is None, mirror_hint(["turn_left", "turn_right"]) is None
    (True, False)
    """
    names = [name.lower() for name in class_names]
    signs = [name for name in names if len(name) == 1 and name.isalnum()]
    found = [name for name in names if SIDED.search(name)] or (signs if 2 * len(signs) > len(names) else [])
    if not found:
        return None
    return (
        f"half of the views are mirrored, and classes such as '{found[0]}' may look different in a mirror; "
        "--no-hflip keeps them as they are."
    )
