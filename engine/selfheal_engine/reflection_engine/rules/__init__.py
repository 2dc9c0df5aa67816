"""Every rule, one idea a file; `review` asks them all."""

from selfheal_engine.reflection_engine.rule import Rule
from selfheal_engine.reflection_engine.rules.branches import (
    AbandonsTheRest,
    EmptyBranch,
    RepeatedCondition,
)
from selfheal_engine.reflection_engine.rules.contracts import (
    ChangedSignature,
    OtherKindOfReturn,
    RemovedCheck,
)
from selfheal_engine.reflection_engine.rules.craft import DeadCode, RepeatedWork, StrangeStyle
from selfheal_engine.reflection_engine.rules.defaults import (
    InventedMoney,
    LooseSecurity,
    ZeroFactor,
)
from selfheal_engine.reflection_engine.rules.errors import (
    BroadExcept,
    LostCause,
    SwallowedError,
    WideTry,
)
from selfheal_engine.reflection_engine.rules.locks import LockOverWaiting, NewLockEachCall
from selfheal_engine.reflection_engine.rules.symptoms import HiddenAbsence, SilentSkip

RULES: tuple[Rule, ...] = (
    SwallowedError(),
    BroadExcept(),
    WideTry(),
    LostCause(),
    ChangedSignature(),
    OtherKindOfReturn(),
    RemovedCheck(),
    HiddenAbsence(),
    SilentSkip(),
    LockOverWaiting(),
    NewLockEachCall(),
    InventedMoney(),
    ZeroFactor(),
    LooseSecurity(),
    AbandonsTheRest(),
    RepeatedCondition(),
    EmptyBranch(),
    DeadCode(),
    RepeatedWork(),
    StrangeStyle(),
)
