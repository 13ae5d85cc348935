"""prometheus_client's own variable for servers of several processes, of which ours is none."""

from pathlib import Path

import pytest
from zdc_common.errors import ConfigError
from zdc_service.telemetry.instruments import Instruments


def test_a_folder_of_metrics_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"PROMETHEUS_MULTIPROC_DIR = .*none' is not a writable folder; create it"):
        Instruments()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    Instruments().requests.labels("grpc", "ok").inc()
