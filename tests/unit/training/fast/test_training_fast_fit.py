"""The fast generator in the training loop: logs, resuming to the bit, the average that is kept."""

import json
from pathlib import Path

import pytest
import torch
from helpers.models.training_runs import Silent, finished, tiny_fast_config
from zdc_common.errors import ConfigError
from zdc_training.config.config import check_resumable, load_config, override_config
from zdc_training.config.fast import FastConfig
from zdc_training.config.images import SinkhornConfig
from zdc_training.fast.model import FastAutoencoder
from zdc_training.loop.fit import fit
from zdc_training.runs.run import Run


def test_the_shipped_configuration_is_of_the_fast_method() -> None:
    assert isinstance(load_config("zn-fast"), FastConfig)
    assert isinstance(load_config("zn-e2esae"), SinkhornConfig)


def test_training_lowers_the_scores_and_keeps_the_average(tmp_path: Path) -> None:
    optimiser = {"epochs": 16, "batch_size": 30, "learning_rate": 3e-3, "average": 0.9}
    run = finished(tmp_path / "run", tiny_fast_config(tmp_path, optimiser=optimiser))
    records = [json.loads(line) for line in run.log.read_text().splitlines()]
    for term in ("reconstruction", "image"):
        losses = [record[f"loss/{term}"] for record in records]
        assert sum(losses[-4:]) / 4 < losses[0]
    validated = [record for record in records if "validation/crps" in record]
    assert {"validation/crps_of_model", "validation/reconstruction"} <= set(validated[0])
    saved, best = torch.load(run.checkpoint, weights_only=True), torch.load(run.best, weights_only=True)
    assert isinstance(run.load_model(), FastAutoencoder)
    name = "decoder.0.weight"
    assert not torch.equal(saved["model"][name], saved["average"][name])
    assert best["epoch"] == saved["epoch"] == 16
    assert torch.equal(best["model"][name], saved["average"][name])


def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path: Path) -> None:
    config = tiny_fast_config(tmp_path)
    whole = finished(tmp_path / "whole", config)
    halves = Run(tmp_path / "halves")
    with pytest.raises(KeyboardInterrupt):
        fit(config, halves, False, Silent(interrupt_after=2))
    fit(config, halves, True, Silent())
    one, other = (torch.load(run.checkpoint, weights_only=True) for run in (whole, halves))
    for part in ("model", "average"):
        assert one[part].keys() == other[part].keys()
        assert all(torch.equal(one[part][name], other[part][name]) for name in one[part])


def test_a_run_keeps_its_method(tmp_path: Path) -> None:
    config = tiny_fast_config(tmp_path)
    with pytest.raises(ConfigError, match="a resumed run keeps"):
        check_resumable(config, SinkhornConfig(data=config.data, seed=config.seed))
    with pytest.raises(ConfigError, match=r"model\.channels: no key of this method; sinkhorn, vae, wae"):
        override_config(config, ["model.channels=[1, 1, 1, 1]"])
