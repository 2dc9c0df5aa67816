"""Where patches are tried: on this machine, or on the cluster that the owner names."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol
from urllib.parse import urlsplit

from selfheal_engine.config import Settings
from selfheal_engine.errors import ConfigError
from selfheal_engine.model import Candidate, Diagnosis, Occurrence, Verdict
from selfheal_engine.project import Project

TLS_VARIABLES = (
    "DASK_DISTRIBUTED__COMM__TLS__CA_FILE",
    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT",
    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY",
)
"""Dask's own variables for the authority, our certificate and its key, in PEM files."""


class Validator(Protocol):
    """What judges patches, wherever it does."""

    @property
    def tier(self) -> int: ...
    @property
    def note(self) -> str: ...
    def prepare(self) -> None: ...
    def baseline(self, diagnosis: Diagnosis, occurrence: Occurrence) -> None: ...
    def validate(
        self,
        candidates: Sequence[Candidate],
        diagnosis: Diagnosis,
        occurrence: Occurrence,
        on_verdict: Callable[[Verdict], None],
    ) -> list[Verdict]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Scheduler:
    """A cluster's scheduler and how to talk to it."""

    url: str
    """tcp://host:port or tls://host:port."""
    tls: tuple[str, ...] = ()
    """Files of the authority, the certificate and the key; empty: not encrypted, loopback only."""


def validator_for(project: Project, settings: Settings) -> Validator:
    """The validator that the settings ask for. Raises ConfigError."""
    from selfheal_engine.sandbox_validator.validator import SandboxValidator

    if not settings.executor:
        return SandboxValidator(project, settings)
    scheduler = scheduler_of(settings.executor)
    from selfheal_engine.sandbox_validator.cluster import ClusterValidator, connect

    local = SandboxValidator(project, settings)
    return ClusterValidator(project, settings, local, lambda: connect(scheduler))


def scheduler_of(
    executor: str,
    environ: Mapping[str, str] | None = None,
    installed: Callable[[], bool] = lambda: find_spec("distributed") is not None,
) -> Scheduler:
    """The scheduler that `--executor` names. Raises ConfigError, in one sentence."""
    environ = os.environ if environ is None else environ
    host, port = _host_and_port(executor)
    if not installed():
        raise ConfigError(
            f"--executor {executor} needs Dask: pip install 'selfheal-tui[cluster]', or leave "
            "--executor out and patches are tried on this machine"
        )
    files = tuple(environ.get(name, "") for name in TLS_VARIABLES)
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not any(files) and _loopback(host):
        return Scheduler(f"tcp://{where}")
    absent = [name for name, file in zip(TLS_VARIABLES, files, strict=True) if not file]
    if absent:
        raise ConfigError(
            f"--executor {executor} would send the project's source over the network, which is "
            f"only done with TLS: set {', '.join(absent)}"
        )
    for name, file in zip(TLS_VARIABLES, files, strict=True):
        if not os.access(file, os.R_OK):
            raise ConfigError(f"${name} names {file}, which cannot be read: check the path")
    return Scheduler(f"tls://{where}", files)


def _host_and_port(executor: str) -> tuple[str, int]:
    try:
        parts = urlsplit(executor)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    extra = executor != f"dask://{executor.removeprefix('dask://').rstrip('/').split('/')[0]}"
    if not host or not port or extra or "@" in executor:
        raise ConfigError(f"--executor {executor!r} is no cluster: write dask://host:port")
    return host, port


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
