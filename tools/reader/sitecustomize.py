"""Python runs this first: in a page's folder it hides what the page's reader does not have.

The checkout, to which the environment's editable install leads, and every distribution that the
page's extras do not bring. ``tools.notebooks`` writes ``setting.json`` beside this file; elsewhere
than in a page's folder nothing is hidden.
"""

import json
import os
import re
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "setting.json"), encoding="utf-8") as setting_file:
    SETTING = json.load(setting_file)
FOLDER, PAGE = os.path.split(os.path.realpath(os.getcwd()))


class Hiding:
    """Finds modules and distributions on the path, but for those that are hidden."""

    modules = frozenset()
    distributions = frozenset()

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in cls.modules:
            return None
        return PathFinder.find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, *arguments, **options):
        for found in PathFinder.find_distributions(*arguments, **options):
            if re.sub(r"[-_.]+", "-", found.name).lower() not in cls.distributions:
                yield found

    invalidate_caches = PathFinder.invalidate_caches


def hide():
    """Hide it, and end the process where the package would come from elsewhere than its wheel."""
    Hiding.modules = frozenset(SETTING["modules"][PAGE])
    Hiding.distributions = frozenset(SETTING["distributions"][PAGE])
    sys.path[:] = [
        place
        for place in sys.path
        if not place.startswith("__editable__") and os.path.realpath(place) != SETTING["checkout"]
    ]
    kept = [f for f in sys.meta_path if not getattr(f, "__module__", "").startswith("__editable__")]
    sys.meta_path[:] = [Hiding if finder is PathFinder else finder for finder in kept]
    package = find_spec("companion")
    if not package or not package.origin.startswith(SETTING["site"] + os.sep):
        sys.exit(f"companion comes from {package and package.origin}, not from its wheel")


if SETTING["pages"] == FOLDER and PAGE in SETTING["modules"]:
    hide()
