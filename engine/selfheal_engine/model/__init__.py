"""Everything that crosses a thread, a process or a socket, as frozen dataclasses.

The rooms of the engine, the widgets and outside scripts share these words and no others.
Times are Unix seconds (`time_s`), durations end in `_s`, sizes in `_bytes`; sequences are
tuples, so that a value published by the engine thread can be read from any other.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selfheal_engine.model.caught import (
        ConnectionRecord,
        Frame,
        GoodCall,
        Growth,
        Occurrence,
        RequestRecord,
        Value,
        WaitingThread,
    )
    from selfheal_engine.model.concluded import (
        Candidate,
        Check,
        CheckStatus,
        Diagnosis,
        Proposal,
        Remark,
        Reproducer,
        ReproducerKind,
        Suspect,
        Verdict,
    )
    from selfheal_engine.model.incident import Episode, HealingStats, Incident, Step
    from selfheal_engine.model.measured import (
        RISE_SIGMA,
        Alert,
        ControlLimits,
        HealthCause,
        HealthScore,
        MetricState,
        Reading,
        Sample,
    )
    from selfheal_engine.model.published import Event, Snapshot
    from selfheal_engine.model.service import (
        EndpointStat,
        FunctionSwap,
        ProcessInfo,
        RestartOffer,
        ServiceInfo,
        SwapResult,
        Target,
    )
    from selfheal_engine.model.vocabulary import (
        METRICS,
        STRATEGIES,
        UNITS,
        IncidentState,
        Level,
        OccurrenceKind,
        Risk,
        Severity,
    )

__all__ = [
    "METRICS",
    "RISE_SIGMA",
    "STRATEGIES",
    "UNITS",
    "Alert",
    "Candidate",
    "Check",
    "CheckStatus",
    "ConnectionRecord",
    "ControlLimits",
    "Diagnosis",
    "EndpointStat",
    "Episode",
    "Event",
    "Frame",
    "FunctionSwap",
    "GoodCall",
    "Growth",
    "HealingStats",
    "HealthCause",
    "HealthScore",
    "Incident",
    "IncidentState",
    "Level",
    "MetricState",
    "Occurrence",
    "OccurrenceKind",
    "ProcessInfo",
    "Proposal",
    "Reading",
    "Remark",
    "Reproducer",
    "ReproducerKind",
    "RequestRecord",
    "RestartOffer",
    "Risk",
    "Sample",
    "ServiceInfo",
    "Severity",
    "Snapshot",
    "Step",
    "Suspect",
    "SwapResult",
    "Target",
    "Value",
    "Verdict",
    "WaitingThread",
]

_MODULES = ("vocabulary", "service", "measured", "caught", "concluded", "incident", "published")
"""Where the names live, in the order in which each module needs those before it."""


def __getattr__(name: str) -> Any:
    """Load a name when it is first asked for.

    Making forty frozen classes takes a tenth of the time to the app's first paint, which
    needs three of them.
    """
    if name in __all__:
        for module in _MODULES:
            found = vars(importlib.import_module(f"{__name__}.{module}")).get(name)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
