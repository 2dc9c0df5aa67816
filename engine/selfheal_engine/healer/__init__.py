"""Puts an approved patch in force, watches it, and takes it back when it does harm."""

from selfheal_engine.healer.applied import Applied, Recovery, Reverted
from selfheal_engine.healer.apply import apply_patch, continue_rollout, renew_processes
from selfheal_engine.healer.export import export_patch
from selfheal_engine.healer.files import write_new_file
from selfheal_engine.healer.rebase import changed_files, rebase_patch
from selfheal_engine.healer.remnants import holds_on
from selfheal_engine.healer.restarting import GONE, NO_WAY, RestartWay, way_to_restart
from selfheal_engine.healer.revert import changed_since, recover, revert_patch
from selfheal_engine.healer.routes import route_of
from selfheal_engine.healer.side_effects import Glimpse, SideEffects, resident_bytes
from selfheal_engine.healer.watch import Outcome, Watch

__all__ = [
    "GONE",
    "NO_WAY",
    "Applied",
    "Glimpse",
    "Outcome",
    "Recovery",
    "RestartWay",
    "Reverted",
    "SideEffects",
    "Watch",
    "apply_patch",
    "changed_files",
    "changed_since",
    "continue_rollout",
    "export_patch",
    "holds_on",
    "rebase_patch",
    "recover",
    "renew_processes",
    "resident_bytes",
    "revert_patch",
    "route_of",
    "way_to_restart",
    "write_new_file",
]
