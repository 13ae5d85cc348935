"""Options of the service: one field is a flag, an environment variable (``ZDC_...``) and its help text."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from zdc_common.commands import ListedNames, ListedPaths

#: Longest JSON text of one particle with all its columns, generously.
_BYTES_PER_ROW = 512


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
        None, description="model of requests that name none; default: the only one, or zn-fast"
    )
    device: Literal["cpu", "cuda", "tensorrt", "auto"] = Field(
        "cpu",
        description="where to compute; cuda and tensorrt refuse to start where there is none, auto takes cuda where "
        "there is one, else cpu, and logs which",
    )
    cuda_graphs: bool = Field(True, description="with cuda: record each batch size once and replay it")
    threads: int = Field(
        default_factory=usable_cores, ge=1, description="batches computed at the same time; default: the usable cores"
    )
    max_batch_rows: int | None = Field(
        None, ge=1, description="most rows of one run of the model; default: 64 on a CPU, 1024 on a GPU"
    )
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

    model_poll_seconds: float = Field(
        10.0, ge=0, description="time between looks at the models folder for new, changed and deleted versions; 0: none"
    )

    host: str = Field(
        "127.0.0.1",
        description="address to listen on; beyond this machine it takes TLS, tokens or --insecure; 0.0.0.0 and :: are "
        "both all addresses of this machine, of IPv4 and of IPv6",
    )
    http_port: int = Field(8000, ge=0, le=65535, description="port of HTTP; 0 takes a free one")
    grpc_port: int = Field(8001, ge=0, le=65535, description="port of gRPC; 0 takes a free one")
    management_port: int | None = Field(
        None, ge=0, le=65535,
        description="port of /livez, /readyz and /metrics, plain and without tokens; /metrics then leaves --http-port",
    )  # fmt: skip
    management_host: str | None = Field(None, description="address of --management-port; default: --host")

    tls_certificate: Path | None = Field(
        None, description="PEM file of the certificate and its chain, for HTTP and gRPC; read again when changed"
    )
    tls_key: Path | None = Field(None, description="PEM file of the certificate's key, without a passphrase")
    tls_client_ca: Path | None = Field(
        None, description="PEM file of authorities; callers must then show a certificate signed by one (mutual TLS)"
    )
    token_files: ListedPaths = Field(
        [],
        description="file of bearer tokens, one a line, # starts a comment; repeatable (as variable: a:b); read again "
        "when changed. Every caller must then send one, except for probes",
    )
    admin_token_files: ListedPaths = Field(
        [],
        description="files of tokens, as --token-files, without which no caller may load or unload models; those of "
        "--token-files may then only simulate",
    )
    insecure: bool = Field(False, description="listen beyond this machine without TLS and tokens")
    allowed_hosts: ListedNames = Field(
        [],
        description="names by which HTTP callers may ask for this server, beside addresses, localhost and --host; "
        "repeatable (as variable: a,b), * is any. Default: on 127.0.0.1 without tokens none, elsewhere any",
    )
    cors_origins: ListedNames = Field(
        [],
        description="origins, such as https://example.org, whose web pages may use this server (CORS); repeatable (as "
        "variable: a,b), * is any; default: its own page only",
    )

    max_body_bytes: int | None = Field(
        None,
        ge=1024,
        description="most bytes of one request or gRPC message; default: 512 for each of max_request_rows",
    )
    max_connections: int = Field(
        1000, ge=1, description="most connections of HTTP and of gRPC, and most calls under way of gRPC, probes apart"
    )
    max_held_bytes: int = Field(
        512 * 1024 * 1024,
        ge=1024 * 1024,
        description="most bytes held for callers: bodies of requests that are not answered yet, answers not read yet",
    )
    header_seconds: float = Field(10.0, gt=0, description="longest time for a TLS handshake and for a request's head")
    body_seconds: float = Field(
        60.0,
        gt=0,
        description="longest time for a request's body, or the first message of a gRPC call, to arrive, for a caller "
        "to read nothing of an answer over HTTP, and to read a message over gRPC",
    )
    idle_seconds: float = Field(75.0, gt=0, description="longest time that an unused connection is kept")
    grpc_ping_seconds: float = Field(
        5.0,
        ge=0,
        description="shortest time between two keepalive pings of a gRPC client whose calls are idle; the connection "
        "of a client that sends more is closed; 0: no limit",
    )
    request_seconds: float | None = Field(
        None, gt=0, description="longest time for an answer; callers may ask for less; default: no limit"
    )

    drain_seconds: float = Field(
        0.0, ge=0,
        description="after SIGTERM, serve on for this long while probes say not ready and load balancers turn away",
    )  # fmt: skip
    shutdown_seconds: float = Field(
        25.0, gt=0, description="then, longest wait for requests in flight; a second signal ends at once"
    )
    trace_endpoint: str | None = Field(
        None, description="URL of an OTLP receiver over HTTP for traces, e.g. http://collector:4318; default: no traces"
    )
    trace_share: float = Field(
        1.0, ge=0, le=1,
        description="share of the requests that are traced; callers that send a traceparent decide for theirs",
    )  # fmt: skip
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severity of log lines")

    @property
    def body_limit(self) -> int:
        """Most bytes of one request's body or message."""
        return self.max_body_bytes or self.max_request_rows * _BYTES_PER_ROW

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, names: list[str]) -> list[str]:
        for name in names:
            if not name or any(character in name for character in "/ ,[]@") or name.count(":") == 1:
                raise ValueError(f"{name!r} must be a name without scheme and port, such as zdc.example.org")
        return names

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            parts = urlsplit(origin)
            if origin != "*" and (
                parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"{origin!r} must be as browsers send it: https://host or https://host:port, or *")
        return [origin.lower() for origin in origins]

    @field_validator("host", "management_host")
    @classmethod
    def _without_brackets(cls, host: str | None) -> str | None:
        """An IPv6 address as URLs have it, or as it is."""
        return host[1:-1] if host is not None and host.startswith("[") and host.endswith("]") else host

    @field_validator("trace_endpoint")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        parts = urlsplit("http://none" if url is None else url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("must be http://host:port or https://host:port, with a path where it is not /v1/traces")
        return url

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        for name in ("tls_certificate", "tls_key"):
            others = [other for other in ("tls_certificate", "tls_key", "tls_client_ca") if getattr(self, other)]
            if others and getattr(self, name) is None:
                raise ValueError(f"{others[0]} = '{getattr(self, others[0])}' needs {name} as well")
        return self
