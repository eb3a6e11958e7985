"""The article's claims, section by section, each with the rule that turns numbers into a verdict.

Bounds stand where a measurement could be taken either way: what would count, said beforehand.
"""

import importlib
import pkgutil

# Importing a module registers its claims; every module here is imported.
for _found in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_found.name}")
