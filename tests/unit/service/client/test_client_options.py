"""Options of the clients."""

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
from zdc_common.errors import ConfigError
from zdc_service.client import ClientOptions, OverloadedError
from zdc_service.client.errors import error_of, unreachable
from zdc_service.client.transports.credentials import Credentials
from zdc_service.client.transports.http_client import HttpEndpoint


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("rows_per_request", [0, -1, 1.5, None, "9"]),
        ("in_flight", [0, 2.0, None, 1001]),
        ("rows_per_request", [2**31]),
        ("timeout_seconds", [0, -1.0, math.nan, math.inf, 1e9, None, "3"]),
        ("retry_seconds", [-1, math.nan, None]),
        ("keepalive_seconds", [-1, 0.5, math.nan, math.inf, None]),
    ],
)
def test_numbers_outside_their_range_are_refused(option: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ConfigError, match=f"{option} = {value!r} must be"):
            ClientOptions(**{option: value})


def test_retries_may_be_unlimited() -> None:
    assert ClientOptions(retry_seconds=math.inf).retry_seconds == math.inf
    assert ClientOptions(retry_seconds=0).retry_seconds == 0
    assert ClientOptions(keepalive_seconds=0).keepalive_seconds == 0


def test_options_and_errors_can_be_pickled() -> None:
    options = ClientOptions(ca_file="ca.pem", timeout_seconds=3)
    assert pickle.loads(pickle.dumps(options)) == options
    error = error_of("overloaded", "full")
    error.retry_after_seconds = 3.0
    other = pickle.loads(pickle.dumps(error))
    assert (type(other), str(other), other.retry_after_seconds) == (OverloadedError, "full", 3.0)


def test_files_may_be_given_as_strings(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("alice-0123456789abcdef")
    for name in (file, str(file)):
        credentials = Credentials(ClientOptions(token_file=name), tls=False)
        assert credentials.authorization() == {"authorization": "Bearer alice-0123456789abcdef"}
    with pytest.raises(ConfigError, match=r"nowhere\.pem"):
        Credentials(ClientOptions(ca_file="nowhere.pem"), tls=True)


@pytest.mark.parametrize(
    ("url", "coding"),
    [
        ("http://127.0.0.1:8000", "identity"),
        ("http://[::1]:8000", "identity"),
        ("http://localhost:8000", "identity"),
        ("http://zdc.example", "zstd"),
        ("http://192.0.2.1:8000", "zstd"),
    ],
)
def test_replies_are_compressed_only_over_a_network(url: str, coding: str) -> None:
    options = ClientOptions()
    assert HttpEndpoint(url, options, Credentials(options, tls=False)).headers()["Accept-Encoding"] == coding


@pytest.mark.parametrize("text", ["[SSL: WRONG_VERSION_NUMBER] wrong version number", "illegal request line"])
def test_a_server_with_another_protocol_is_not_retried(text: str) -> None:
    assert type(unreachable("here", text, tls=True)) is ConfigError
