"""A None (or a missing key) goes where it must not: guard it, answer it, default it.

The right place is often not the crash: the project's own answer in the handler, the default at
the lookup and the early return all compete, and the evidence decides.
"""

from __future__ import annotations

from selfheal_engine.patch_generator.rules import Rule
from selfheal_engine.patch_generator.strategies.null_check.chaining import OptionalChain, UseHelper
from selfheal_engine.patch_generator.strategies.null_check.comparing import CompareWhenGiven
from selfheal_engine.patch_generator.strategies.null_check.defaults import (
    DefaultAtLookup,
    TolerateMissingKey,
    UseDefault,
)
from selfheal_engine.patch_generator.strategies.null_check.entries import (
    CreateEntry,
    ReturnWithoutKey,
)
from selfheal_engine.patch_generator.strategies.null_check.formatted import ShowMissing
from selfheal_engine.patch_generator.strategies.null_check.found_nothing import AnswerInHandler
from selfheal_engine.patch_generator.strategies.null_check.handed_in import DefaultOfParameter
from selfheal_engine.patch_generator.strategies.null_check.handled_above import RaiseWhatIsHandled
from selfheal_engine.patch_generator.strategies.null_check.on_demand import MakeOnDemand
from selfheal_engine.patch_generator.strategies.null_check.origins import (
    DefaultAtOrigin,
    RefuseAtOrigin,
)
from selfheal_engine.patch_generator.strategies.null_check.refusing import (
    RefuseMissingKey,
    RefuseRequest,
)
from selfheal_engine.patch_generator.strategies.null_check.skipping import ReturnEarly, SkipInLoop
from selfheal_engine.patch_generator.strategies.null_check.starting import (
    AskTheWalrus,
    DefaultForNone,
    EnterAnyway,
    StartContainer,
)

RULES: tuple[Rule, ...] = (
    RefuseRequest(),
    AnswerInHandler(),
    RaiseWhatIsHandled(),
    CompareWhenGiven(),
    MakeOnDemand(),
    ReturnEarly(),
    SkipInLoop(),
    DefaultAtLookup(),
    DefaultOfParameter(),
    ShowMissing(),
    UseDefault(),
    TolerateMissingKey(),
    RefuseMissingKey(),
    OptionalChain(),
    UseHelper(),
    CreateEntry(),
    ReturnWithoutKey(),
    DefaultAtOrigin(),
    RefuseAtOrigin(),
    AskTheWalrus(),
    DefaultForNone(),
    EnterAnyway(),
    StartContainer(),
)
