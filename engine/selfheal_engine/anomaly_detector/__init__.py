"""What is unusual, what it resembles, when it will run out, and which alerts belong together.

`univariate()` and `multivariate(n)` give the streaming detectors by themselves. Imported
lazily: naming one part does not load the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfheal_engine.anomaly_detector.bug_types import RankedType, infer_types
    from selfheal_engine.anomaly_detector.detector import AnomalyDetector, Assessment
    from selfheal_engine.anomaly_detector.forecast import Forecast
    from selfheal_engine.anomaly_detector.incidents import IncidentTracker
    from selfheal_engine.anomaly_detector.many_metrics import multivariate
    from selfheal_engine.anomaly_detector.one_metric import univariate

__all__ = [
    "AnomalyDetector",
    "Assessment",
    "Forecast",
    "IncidentTracker",
    "RankedType",
    "infer_types",
    "multivariate",
    "univariate",
]

_WHERE = {
    "AnomalyDetector": "detector",
    "Assessment": "detector",
    "Forecast": "forecast",
    "IncidentTracker": "incidents",
    "RankedType": "bug_types",
    "infer_types": "bug_types",
    "multivariate": "many_metrics",
    "univariate": "one_metric",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
