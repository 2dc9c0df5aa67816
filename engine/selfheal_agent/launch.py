"""The environment that makes a Python service start with the probe inside."""

from __future__ import annotations

import os
from collections.abc import Mapping

BOOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "boot")
"""Folder that holds our sitecustomize and nothing else."""


def environment(
    base_env: Mapping[str, str], name: str, run_dir: str, project: str
) -> dict[str, str]:
    """`base_env` plus what the probe needs.

    `name` is what people attach by, `run_dir` the folder of the sockets, `project` the folder
    whose code counts as the service's own.
    """
    env = dict(base_env)
    kept = [entry for entry in env.get("PYTHONPATH", "").split(os.pathsep) if entry]
    env["PYTHONPATH"] = os.pathsep.join([BOOT, *(entry for entry in kept if entry != BOOT)])
    env["SELFHEAL_RUN_DIR"] = os.path.abspath(run_dir)
    env["SELFHEAL_NAME"] = name
    env["SELFHEAL_PROJECT"] = os.path.realpath(project)
    env.pop("SELFHEAL_ROOT", None)
    return env
