"""An error that belongs to the world, not to the code: bad input, a flaky upstream, a bad item.

Only the exception that was seen is caught, around the statement that raised it, and something
is done with it: the project's own answer or error, a bounded retry, a logged skip. Nothing is
swallowed.
"""

from __future__ import annotations

from selfheal_engine.patch_generator.rules import Rule
from selfheal_engine.patch_generator.strategies.error_handling.absent import (
    AnswerNothing,
    DoneAlready,
    TolerateText,
)
from selfheal_engine.patch_generator.strategies.error_handling.as_elsewhere import GuardAsElsewhere
from selfheal_engine.patch_generator.strategies.error_handling.bad_input import (
    RefuseBadInput,
    SkipBadItem,
)
from selfheal_engine.patch_generator.strategies.error_handling.expected import (
    AnswerAssertion,
    CapOverflow,
    EndGenerator,
    ReadExitCode,
)
from selfheal_engine.patch_generator.strategies.error_handling.folders import MakeFolder
from selfheal_engine.patch_generator.strategies.error_handling.last_good import KeepLastGood
from selfheal_engine.patch_generator.strategies.error_handling.unreadable import (
    DefaultForUnreadable,
)
from selfheal_engine.patch_generator.strategies.error_handling.upstream import (
    FallBack,
    RaiseOwnError,
    Retry,
)

RULES: tuple[Rule, ...] = (
    RefuseBadInput(),
    GuardAsElsewhere(),
    DefaultForUnreadable(),
    SkipBadItem(),
    Retry(),
    RaiseOwnError(),
    FallBack(),
    AnswerNothing(),
    DoneAlready(),
    TolerateText(),
    MakeFolder(),
    AnswerAssertion(),
    CapOverflow(),
    EndGenerator(),
    ReadExitCode(),
    KeepLastGood(),
)
