"""A module that does not parse or import, and names that it does not have.

The smallest edit of the text after which the file parses; of a name, the spelling, the import or
the definition that exists elsewhere.
"""

from __future__ import annotations

from selfheal_engine.patch_generator.rules import Rule
from selfheal_engine.patch_generator.strategies.syntax_fix.definitions import DefineAsElsewhere
from selfheal_engine.patch_generator.strategies.syntax_fix.names import NearestImport, NearestName
from selfheal_engine.patch_generator.strategies.syntax_fix.texts import (
    BackToLastGood,
    RepairLine,
    ResolveConflict,
    TabsToSpaces,
)

RULES: tuple[Rule, ...] = (
    RepairLine(),
    ResolveConflict(),
    TabsToSpaces(),
    NearestName(),
    DefineAsElsewhere(),
    NearestImport(),
    BackToLastGood(),
)
