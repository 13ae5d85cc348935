"""Options of the service: one field is a flag, an environment variable (``ZDC_...``) and its help text."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: its affinity, and the CPU quota of its control group, rounded up.

    Parameters
    ----------
    root : Where ``proc`` and ``sys`` are.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *map(math.ceil, _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Cores that each control group of this process, from its own up to the root, may keep busy (v2, then v1)."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct") if controllers else ("sys/fs/cgroup",)
        # Inside a container the group is often mounted as the root of the tree: every folder on the way is looked at.
        own = PurePosixPath(group.lstrip("/"))
        for folder in [root / mount / part for mount in mounts for part in (own, *own.parents)]:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
            found = " ".join(_text(folder / name) for name in names).split()
            if len(found) == 2 and found[0] not in ("max", "-1"):
                yield int(found[0]) / int(found[1])


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # not Linux, or another version of control groups
        return ""


class EngineSettings(BaseSettings):
    """What a simulator needs, served or in process."""

    model_config = SettingsConfigDict(env_prefix="ZDC_", extra="forbid")

    models: Path | None = Field(None, description="folder with <name>/<version>/; default: the shipped models")
    default_model: str | None = Field(
        None, description="model of requests that name none; default: the only one, or zn-e2esae"
    )
    device: Literal["cpu", "cuda", "auto"] = Field(
        "cpu", description="where to compute; cuda refuses to start where there is none, auto logs what it took"
    )
    threads: int = Field(
        default_factory=usable_cores, ge=1, description="batches computed at the same time; default: the usable cores"
    )
    max_batch_rows: int = Field(64, ge=1, description="most rows of one run of the model")
    max_request_rows: int = Field(16384, ge=1, description="most rows (particles x repeats) of one request")
    max_queue_rows: int = Field(
        65536, ge=1, description="most rows waiting; beyond it requests are refused as overloaded"
    )

    @model_validator(mode="after")
    def _a_request_fits_the_queue(self) -> Self:
        if self.max_request_rows > self.max_queue_rows:
            raise ValueError(
                f"max_request_rows = {self.max_request_rows} is above max_queue_rows = {self.max_queue_rows}: "
                "the largest request would never be accepted; lower the first or raise the second"
            )
        return self


class ServerSettings(EngineSettings):
    """What a server needs beyond its simulator."""

    host: str = Field("127.0.0.1", description="address to listen on")
    http_port: int = Field(8000, ge=0, le=65535, description="port of HTTP; 0 takes a free one")
    grpc_port: int = Field(8001, ge=0, le=65535, description="port of gRPC; 0 takes a free one")
    shutdown_seconds: float = Field(30.0, gt=0, description="longest wait for requests in flight after SIGTERM")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severity of log lines")
