"""Options of the service: each field defines a flag, an environment variable (``ZDC_...``) and their help text."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from zdc_common.commands import ListedNames, ListedPaths

#: Generous upper limit for the JSON text of one particle with all its columns.
_BYTES_PER_ROW = 512


def usable_cores(root: Path = Path("/")) -> int:
    """Number of cores that this process may use: the smaller of its affinity and its control group's quota, rounded up.

    Parameters
    ----------
    root : Folder that contains ``proc`` and ``sys``.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *map(math.ceil, _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """CPU quota [cores] of each control group of this process, from its own up to the root (v2, then v1)."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct") if controllers else ("sys/fs/cgroup",)
        # In a container, the group is often mounted as the root of the tree, so every parent folder is checked.
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
    """Options of a simulator, in a server or in the caller's process."""

    model_config = SettingsConfigDict(env_prefix="ZDC_", extra="forbid")

    models: Path | None = Field(None, description="folder with <name>/<version>/; default: the shipped models")
    default_model: str | None = Field(
        None, description="model for requests that do not name one; default: the only model, or zn-fast"
    )
    device: Literal["cpu", "cuda", "tensorrt", "auto"] = Field(
        "cpu",
        description="device that computes; with cuda or tensorrt, the server does not start without this device; auto "
        "uses cuda if available, otherwise cpu, and logs its choice",
    )
    cuda_graphs: bool = Field(True, description="on cuda: record each batch size as a CUDA graph, and replay it")
    threads: int = Field(
        default_factory=usable_cores,
        ge=1,
        description="number of batches computed at the same time; default: the number of usable cores",
    )
    max_batch_rows: int | None = Field(
        None, ge=1, description="maximum rows per run of the model; default: 64 on a CPU, 1024 on a GPU"
    )
    max_request_rows: int = Field(16384, ge=1, description="maximum rows (particles x repeats) per request")
    max_queue_rows: int = Field(
        65536, ge=1, description="maximum rows in the queue; further requests are refused as overloaded"
    )

    @model_validator(mode="after")
    def _a_request_fits_the_queue(self) -> Self:
        if self.max_request_rows > self.max_queue_rows:
            raise ValueError(
                f"max_request_rows = {self.max_request_rows} must be at most max_queue_rows = {self.max_queue_rows}; "
                "decrease the first or increase the second"
            )
        return self


class ServerSettings(EngineSettings):
    """Options of a server, in addition to those of its simulator."""

    model_poll_seconds: float = Field(
        10.0,
        ge=0,
        description="time [s] between checks for new, changed and deleted versions in the models folder; 0: no checks",
    )

    host: str = Field(
        "127.0.0.1",
        description="address to listen on; any address other than localhost needs TLS, tokens or --insecure; 0.0.0.0 "
        "and :: both mean all addresses of this machine, IPv4 and IPv6",
    )
    http_port: int = Field(8000, ge=0, le=65535, description="port for HTTP; 0: any free port")
    grpc_port: int = Field(8001, ge=0, le=65535, description="port for gRPC; 0: any free port")
    management_port: int | None = Field(
        None, ge=0, le=65535,
        description="separate port for /livez, /readyz and /metrics, without TLS and tokens; /metrics is then not on "
        "--http-port",
    )  # fmt: skip
    management_host: str | None = Field(None, description="address of --management-port; default: --host")

    tls_certificate: Path | None = Field(
        None,
        description="PEM file with the server's certificate and its chain, for HTTP and gRPC; read again when changed",
    )
    tls_key: Path | None = Field(None, description="PEM file with the certificate's key, without a passphrase")
    tls_client_ca: Path | None = Field(
        None,
        description="PEM file of certificate authorities; clients must then have a certificate signed by one of them "
        "(mutual TLS)",
    )
    token_files: ListedPaths = Field(
        [],
        description="file of bearer tokens, one per line, # starts a comment; every request except probes must then "
        "have one of the tokens; repeatable (as variable: a:b); read again when changed",
    )
    admin_token_files: ListedPaths = Field(
        [],
        description="file of administrators' tokens, in the format of --token-files; only these tokens may then load "
        "and unload models; repeatable",
    )
    insecure: bool = Field(False, description="allow other addresses than localhost without TLS and tokens")
    allowed_hosts: ListedNames = Field(
        [],
        description="host names accepted in HTTP requests, in addition to IP addresses, localhost and --host; "
        "repeatable (as variable: a,b); *: any name. Default: none on 127.0.0.1 without tokens, otherwise any",
    )
    cors_origins: ListedNames = Field(
        [],
        description="origins, e.g. https://example.org, whose web pages may send requests to this server (CORS); "
        "repeatable (as variable: a,b); *: any origin; default: only the server's own page",
    )

    max_body_bytes: int | None = Field(
        None,
        ge=1024,
        description="maximum bytes of a request or gRPC message; default: 512 x max_request_rows",
    )
    max_connections: int = Field(
        1000,
        ge=1,
        description="maximum HTTP connections, gRPC connections, and gRPC calls in progress, each; probes do not count",
    )
    max_held_bytes: int = Field(
        512 * 1024 * 1024,
        ge=1024 * 1024,
        description="maximum bytes in memory for requests that are not answered yet and replies that are not read yet",
    )
    header_seconds: float = Field(
        10.0, gt=0, description="time limit [s] for a TLS handshake, and for the header of a request"
    )
    body_seconds: float = Field(
        60.0,
        gt=0,
        description="time limit [s] for a client to send the body of a request or the first message of a gRPC call, to "
        "continue reading an HTTP reply, and to read a gRPC message",
    )
    idle_seconds: float = Field(75.0, gt=0, description="time [s] after which an unused connection is closed")
    grpc_ping_seconds: float = Field(
        5.0,
        ge=0,
        description="minimum time [s] between keepalive pings of a gRPC client while its calls are idle; a client with "
        "more pings is disconnected; 0: no limit",
    )
    request_seconds: float | None = Field(
        None,
        gt=0,
        description="time limit [s] for a reply; clients may request a shorter limit; default: no limit",
    )

    drain_seconds: float = Field(
        0.0, ge=0,
        description="after SIGTERM, continue to serve for this time [s], with probes not ready, so that load balancers "
        "stop sending requests",
    )  # fmt: skip
    shutdown_seconds: float = Field(
        25.0,
        gt=0,
        description="after --drain-seconds, maximum wait [s] for requests in progress; a second signal ends the server "
        "at once",
    )
    trace_endpoint: str | None = Field(
        None, description="URL of an OTLP receiver over HTTP for traces, e.g. http://collector:4318; default: no traces"
    )
    trace_share: float = Field(
        1.0, ge=0, le=1,
        description="fraction of the requests to trace; for requests with a traceparent, the client decides",
    )  # fmt: skip
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="minimum severity of log messages"
    )

    @property
    def body_limit(self) -> int:
        """Maximum bytes of a request's body or a message."""
        return self.max_body_bytes or self.max_request_rows * _BYTES_PER_ROW

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, names: list[str]) -> list[str]:
        for name in names:
            if not name or any(character in name for character in "/ ,[]@") or name.count(":") == 1:
                raise ValueError(f"{name!r} must be a host name without scheme and port, e.g. zdc.example.org")
        return names

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            parts = urlsplit(origin)
            if origin != "*" and (
                parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError(f"{origin!r} must be https://host or https://host:port, without a path, or *")
        return [origin.lower() for origin in origins]

    @field_validator("host", "management_host")
    @classmethod
    def _without_brackets(cls, host: str | None) -> str | None:
        """Remove the brackets of an IPv6 address, which URLs need."""
        return host[1:-1] if host is not None and host.startswith("[") and host.endswith("]") else host

    @field_validator("trace_endpoint")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        parts = urlsplit("http://none" if url is None else url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("must be http://host:port or https://host:port; add the path if it is not /v1/traces")
        return url

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        for name in ("tls_certificate", "tls_key"):
            others = [other for other in ("tls_certificate", "tls_key", "tls_client_ca") if getattr(self, other)]
            if others and getattr(self, name) is None:
                raise ValueError(f"{others[0]} = '{getattr(self, others[0])}' also needs {name}")
        return self
