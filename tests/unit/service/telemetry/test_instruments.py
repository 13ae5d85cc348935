"""prometheus_client's environment variable for servers with several processes; this server has one."""

from pathlib import Path

import pytest
from zdc_common.errors import ConfigError
from zdc_service.telemetry.instruments import Instruments


def test_a_missing_folder_of_metrics_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"PROMETHEUS_MULTIPROC_DIR = .*none' is not a writable folder; create it"):
        Instruments()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    Instruments().requests.labels("grpc", "ok").inc()
