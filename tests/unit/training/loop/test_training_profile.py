"""`train-zdc profile` profiles one training epoch, and writes nothing."""

from pathlib import Path

import pytest
from helpers.models.training_runs import method_config
from zdc_common.errors import ConfigError
from zdc_training.config.config import override_config
from zdc_training.loop.profile import profile_training


@pytest.mark.parametrize("name", ["e2esae", "cdcgan", "fast"])
def test_stages_and_operators_have_their_shares(tmp_path: Path, name: str) -> None:
    config = method_config(tmp_path, name)
    before = sorted(tmp_path.iterdir())
    text = profile_training(config, steps=2)
    assert "ms a step, " in text
    assert " steps/s; 4 steps an epoch, one validation " in text
    for stage in ("step: forward", "step: backward", "step: optimiser"):
        assert f"| {stage} | " in text
    assert ("within: sinkhorn" in text) is (name == "e2esae")
    assert "aten::" in text
    assert sorted(tmp_path.iterdir()) == before


def test_fewer_showers_than_a_batch_are_refused(tmp_path: Path) -> None:
    config = override_config(method_config(tmp_path, "e2esae"), ["optimiser.batch_size=1000"])
    with pytest.raises(ConfigError, match="batch_size = 1000 is above the 120 training showers"):
        profile_training(config)
