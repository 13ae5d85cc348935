"""The training loop: logs, checkpoints, resuming, reproducibility, refusals."""

import json
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_runs import Silent, tiny_config, trained
from zdc_detector.errors import ConfigError
from zdc_training.config import OptimiserConfig
from zdc_training.curves import draw_curves
from zdc_training.fit import TrainingError, fit, learning_rate
from zdc_training.run import Run


def weights(run: Run) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run.checkpoint, weights_only=True)["model"]
    return state


def test_a_run_leaves_config_logs_checkpoints_and_the_best_model(tmp_path: Path) -> None:
    run = trained(tmp_path)
    records = [json.loads(line) for line in run.log.read_text().splitlines()]
    assert [r["epoch"] for r in records] == [1, 2, 3, 4]
    assert {"loss/reconstruction", "loss/sinkhorn", "loss/diversity", "loss/encoder_l2", "seconds"} <= set(records[0])
    assert [("validation/crps" in r) for r in records] == [False, True, False, True]
    best = torch.load(run.best, weights_only=True)["epoch"]
    assert best == min((r for r in records if "validation/crps" in r), key=lambda r: r["validation/crps"])["epoch"]
    assert run.config() == tiny_config(tmp_path)
    board = EventAccumulator(str(run.folder / "tensorboard"))
    board.Reload()
    assert [e.step for e in board.Scalars("loss/sinkhorn")] == [1, 2, 3, 4]
    draw_curves(run.log, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    run = trained(tmp_path, optimiser={"epochs": 12, "batch_size": 30, "learning_rate": 3e-3})
    losses = [json.loads(line)["loss/reconstruction"] for line in run.log.read_text().splitlines()]
    assert losses[-1] < losses[0] - 0.05


def test_same_seed_same_weights_another_seed_others(tmp_path: Path) -> None:
    first, second, other = trained(tmp_path, "a"), trained(tmp_path, "b"), trained(tmp_path, "c", seed=2)
    assert all(torch.equal(v, weights(second)[k]) for k, v in weights(first).items())
    assert not all(torch.equal(v, weights(other)[k]) for k, v in weights(first).items())


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = trained(tmp_path, "whole")
    run = Run(tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        fit(tiny_config(tmp_path), run, False, Silent(interrupt_after=3))
    assert torch.load(run.checkpoint, weights_only=True)["epoch"] == 3
    fit(run.config(), run, True, Silent())
    assert all(torch.equal(v, weights(run)[k]) for k, v in weights(whole).items())
    assert [json.loads(line)["epoch"] for line in run.log.read_text().splitlines()] == [1, 2, 3, 4]
    assert not list(run.folder.glob("*.part"))


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run = trained(tmp_path)
    with pytest.raises(ConfigError, match="already holds a run; add --resume"):
        fit(tiny_config(tmp_path), run, False, Silent())


def test_a_loss_that_is_not_finite_names_the_step_the_term_and_the_remedy(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, loss={"reconstruction_weight": 1e40}, optimiser={"epochs": 4, "batch_size": 30})
    with pytest.raises(TrainingError, match=r"step \d+: the reconstruction term is -?(inf|nan); lower optimiser"):
        fit(config, Run(tmp_path / "run"), False, Silent())


def test_a_batch_larger_than_the_data_is_refused(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, optimiser={"batch_size": 1000})
    with pytest.raises(ConfigError, match="batch_size = 1000 is above the 120 training showers"):
        fit(config, Run(tmp_path / "run"), False, Silent())
    assert not (tmp_path / "run").exists()


def test_the_unconditional_form_trains(tmp_path: Path) -> None:
    model = {"latent": 4, "channels": [4, 4, 4, 4], "hidden": [8, 8, 8], "conditional": False}
    run = trained(tmp_path, model=model)
    assert run.load_model().noise_generator.conditional is False


def test_learning_rate_warms_up_and_falls_to_its_final_share() -> None:
    config = OptimiserConfig(epochs=10, warmup_epochs=2, learning_rate=1.0, final_share=0.1)
    rates = [learning_rate(config, e / 4) for e in range(41)]
    assert rates[0] < 0.01
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 8
    assert rates[-1] == pytest.approx(0.1)
