"""The code says something else than it means: an edge case, another name, another type.

These templates know the exception's words; what only tests can tell apart is left to
`mutations`. Guards return what the function returns elsewhere for "nothing".
"""

from __future__ import annotations

from selfheal_engine.patch_generator.rules import Rule
from selfheal_engine.patch_generator.strategies.logic_correction.clocks import KnowTheZone
from selfheal_engine.patch_generator.strategies.logic_correction.conversions import ConvertOperand
from selfheal_engine.patch_generator.strategies.logic_correction.edge_cases import (
    GuardEmpty,
    GuardZero,
)
from selfheal_engine.patch_generator.strategies.logic_correction.flow import (
    AddReturn,
    LimitRecursion,
)
from selfheal_engine.patch_generator.strategies.logic_correction.near_names import (
    InitialiseVariable,
    NearestAttribute,
    NearestKey,
)
from selfheal_engine.patch_generator.strategies.logic_correction.ranges import (
    ClampRange,
    DefaultForEmpty,
    FitBound,
    SplitOnce,
)
from selfheal_engine.patch_generator.strategies.logic_correction.signatures import (
    AddAwait,
    CallOrNot,
    FitSignature,
)

RULES: tuple[Rule, ...] = (
    GuardZero(),
    GuardEmpty(),
    FitBound(),
    ClampRange(),
    DefaultForEmpty(),
    NearestKey(),
    NearestAttribute(),
    InitialiseVariable(),
    AddReturn(),
    SplitOnce(),
    LimitRecursion(),
    KnowTheZone(),
    AddAwait(),
    ConvertOperand(),
    CallOrNot(),
    FitSignature(),
)
