"""The seven metrics over time: roll-ups, control limits, alerts of the charts, health score."""

from __future__ import annotations

from selfheal_engine.health_monitor.monitor import HealthMonitor

__all__ = ["HealthMonitor"]
