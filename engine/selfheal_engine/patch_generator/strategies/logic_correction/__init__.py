"""The code says something else than it means: an edge case, another name, another type.

These templates know the exception's words; what only tests can tell apart is left to
`mutations`. Guards return what the function returns elsewhere for "nothing".
"""

from __future__ import annotations

from selfheal_engine.patch_generator.rules import Rule
from selfheal_engine.patch_generator.strategies.logic_correction.accepting import AcceptArgument
from selfheal_engine.patch_generator.strategies.logic_correction.aggregates import FiguresOfNothing
from selfheal_engine.patch_generator.strategies.logic_correction.argument_kinds import (
    FitArgument,
)
from selfheal_engine.patch_generator.strategies.logic_correction.arguments import (
    CallTheMethod,
    KnownArguments,
    TakeTheRest,
    Unshadow,
)
from selfheal_engine.patch_generator.strategies.logic_correction.attributes import (
    SetBeforehand,
    StartBase,
)
from selfheal_engine.patch_generator.strategies.logic_correction.awaiting import AwaitIfNeeded
from selfheal_engine.patch_generator.strategies.logic_correction.bindings import (
    BindValues,
)
from selfheal_engine.patch_generator.strategies.logic_correction.calendar_days import (
    DayInMonth,
    MonthInYear,
)
from selfheal_engine.patch_generator.strategies.logic_correction.clocks import KnowTheZone
from selfheal_engine.patch_generator.strategies.logic_correction.containers import (
    MakeMutable,
    MethodOfKind,
)
from selfheal_engine.patch_generator.strategies.logic_correction.conversions import ConvertOperand
from selfheal_engine.patch_generator.strategies.logic_correction.cycles import VisitOnce
from selfheal_engine.patch_generator.strategies.logic_correction.edge_cases import (
    GuardEmpty,
    GuardZero,
)
from selfheal_engine.patch_generator.strategies.logic_correction.empty_items import (
    SkipEmptyItem,
)
from selfheal_engine.patch_generator.strategies.logic_correction.fields import (
    EmptyField,
    SplitOnce,
)
from selfheal_engine.patch_generator.strategies.logic_correction.flow import (
    AddReturn,
    LimitRecursion,
)
from selfheal_engine.patch_generator.strategies.logic_correction.formats import (
    FillTemplate,
    FitFormat,
)
from selfheal_engine.patch_generator.strategies.logic_correction.hashing import (
    HashableKey,
)
from selfheal_engine.patch_generator.strategies.logic_correction.in_place import KeepTheObject
from selfheal_engine.patch_generator.strategies.logic_correction.items import AddEach, ReadTheItem
from selfheal_engine.patch_generator.strategies.logic_correction.json_values import JsonValue
from selfheal_engine.patch_generator.strategies.logic_correction.kept_otherwise import (
    KeepTheValue,
    KeyAsElsewhere,
)
from selfheal_engine.patch_generator.strategies.logic_correction.lookups import (
    FitAskedKey,
    FitKey,
    FitMember,
)
from selfheal_engine.patch_generator.strategies.logic_correction.missing_fields import FillMissing
from selfheal_engine.patch_generator.strategies.logic_correction.module_names import (
    ModuleMember,
)
from selfheal_engine.patch_generator.strategies.logic_correction.moments import StandardMoment
from selfheal_engine.patch_generator.strategies.logic_correction.near_names import (
    AttributeNotKey,
    InitialiseVariable,
    NearestAttribute,
    NearestKey,
)
from selfheal_engine.patch_generator.strategies.logic_correction.ordering import OrderedClass
from selfheal_engine.patch_generator.strategies.logic_correction.own_member import OwnMember
from selfheal_engine.patch_generator.strategies.logic_correction.properties import StoreApart
from selfheal_engine.patch_generator.strategies.logic_correction.ranges import (
    ClampRange,
    DefaultForEmpty,
    FitBound,
)
from selfheal_engine.patch_generator.strategies.logic_correction.read_already import (
    DayOfMoment,
    ReadAlready,
    ReadNumber,
)
from selfheal_engine.patch_generator.strategies.logic_correction.read_as_elsewhere import (
    ReadAsElsewhere,
)
from selfheal_engine.patch_generator.strategies.logic_correction.read_twice import KeepTheItems
from selfheal_engine.patch_generator.strategies.logic_correction.signatures import (
    AddAwait,
    CallOrNot,
    FitSignature,
)
from selfheal_engine.patch_generator.strategies.logic_correction.swapped import SwapArguments
from selfheal_engine.patch_generator.strategies.logic_correction.text_methods import TextOfValue
from selfheal_engine.patch_generator.strategies.logic_correction.texts import (
    EitherText,
    EscapePattern,
    WiderEncoding,
)
from selfheal_engine.patch_generator.strategies.logic_correction.whole_index import WholeIndex

RULES: tuple[Rule, ...] = (
    GuardZero(),
    GuardEmpty(),
    SkipEmptyItem(),
    FitBound(),
    ClampRange(),
    DefaultForEmpty(),
    KeyAsElsewhere(),
    KeepTheValue(),
    NearestKey(),
    NearestAttribute(),
    OwnMember(),
    AttributeNotKey(),
    InitialiseVariable(),
    AddReturn(),
    SplitOnce(),
    EmptyField(),
    FillMissing(),
    LimitRecursion(),
    KnowTheZone(),
    AddAwait(),
    ConvertOperand(),
    FitArgument(),
    JsonValue(),
    CallOrNot(),
    FitSignature(),
    SwapArguments(),
    AwaitIfNeeded(),
    CallTheMethod(),
    KnownArguments(),
    TakeTheRest(),
    Unshadow(),
    SetBeforehand(),
    StartBase(),
    StoreApart(),
    BindValues(),
    MakeMutable(),
    MethodOfKind(),
    FillTemplate(),
    FitFormat(),
    HashableKey(),
    AddEach(),
    FitKey(),
    FitAskedKey(),
    FitMember(),
    ReadTheItem(),
    ModuleMember(),
    VisitOnce(),
    FiguresOfNothing(),
    KeepTheObject(),
    ReadAlready(),
    ReadAsElsewhere(),
    ReadNumber(),
    WholeIndex(),
    OrderedClass(),
    StandardMoment(),
    MonthInYear(),
    DayInMonth(),
    DayOfMoment(),
    EitherText(),
    TextOfValue(),
    EscapePattern(),
    WiderEncoding(),
    KeepTheItems(),
    AcceptArgument(),
)
