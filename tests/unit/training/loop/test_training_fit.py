"""The training loop: logs, checkpoints, resuming, reproducibility, refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.models.training_runs import Silent, tiny_config, trained
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from zdc_common.errors import ConfigError, TrainingError
from zdc_training.config.config import override_config, parse_config
from zdc_training.config.sections import OptimiserConfig
from zdc_training.evaluation.curves import draw_curves
from zdc_training.images.e2esae import SinkhornAutoencoder
from zdc_training.loop.fit import fit
from zdc_training.loop.steps import learning_rate
from zdc_training.runs.checkpoints import former
from zdc_training.runs.run import Run


def weights(run: Run) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run.checkpoint, weights_only=True)["model"]
    return state


def test_a_run_leaves_config_logs_checkpoints_and_the_best_model(tmp_path: Path) -> None:
    run = trained(tmp_path)
    records = [json.loads(line) for line in run.log.read_text().splitlines()]
    assert [r["epoch"] for r in records] == [1, 2, 3, 4]
    assert {
        "loss/reconstruction",
        "loss/sinkhorn",
        "loss/diversity",
        "loss/encoder_l2",
        "seconds",
        "steps_per_second",
    } <= set(records[0])
    assert [("validation/crps" in r) for r in records] == [False, True, False, True]
    best = torch.load(run.best, weights_only=True)["epoch"]
    assert best == min((r for r in records if "validation/crps" in r), key=lambda r: r["validation/crps"])["epoch"]
    assert run.config() == tiny_config(tmp_path)
    board = EventAccumulator(str(run.folder / "tensorboard"))
    board.Reload()
    assert [e.step for e in board.Scalars("loss/sinkhorn")] == [1, 2, 3, 4]
    draw_curves(run.records(), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_one_value_alone_is_seen_in_the_curves(tmp_path: Path) -> None:
    draw_curves([{"epoch": 3, "validation/crps": 5.0}], tmp_path / "curves.png")
    red, _, blue = np.moveaxis(imread(tmp_path / "curves.png")[:, :, :3], 2, 0)
    assert np.count_nonzero(blue - red > 0.3) >= 4


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


def test_a_resumed_run_may_train_on_with_other_settings_and_keeps_the_former(tmp_path: Path) -> None:
    run = trained(tmp_path)
    former = run.config()
    longer = override_config(former, ["optimiser.epochs=6", "optimiser.learning_rate=1e-4"])
    fit(longer, run, True, Silent())
    assert run.config() == longer
    assert parse_config(json.loads((run.folder / "config-to-epoch-4.json").read_text()), "former") == former
    records = [json.loads(line) for line in run.log.read_text().splitlines()]
    assert [r["epoch"] for r in records] == [1, 2, 3, 4, 5, 6]
    assert records[-1]["learning_rate"] < 1e-4
    with pytest.raises(ConfigError, match="seed: a resumed run keeps 1, got 2"):
        fit(override_config(longer, ["seed=2"]), run, True, Silent())
    assert run.config() == longer


def test_a_new_best_model_removes_the_figures_of_the_former(tmp_path: Path) -> None:
    run = trained(tmp_path)
    state = torch.load(run.checkpoint, weights_only=True)
    for best, kept in ((-1.0, True), (1e9, False)):
        torch.save(state | {"epoch": 3, "best": best}, run.checkpoint)
        run.metrics.write_text("{}")
        fit(run.config(), run, True, Silent())
        assert run.metrics.exists() is kept


def test_half_a_line_of_the_log_is_written_again(tmp_path: Path) -> None:
    run = trained(tmp_path)
    whole = [json.loads(line)["epoch"] for line in run.log.read_text().splitlines()]
    with run.log.open("a") as log:
        log.write('{"epoch": 5, "loss/rec')  # the machine stopped here
    fit(override_config(run.config(), ["optimiser.epochs=5"]), run, True, Silent())
    assert [json.loads(line)["epoch"] for line in run.log.read_text().splitlines()] == [*whole, 5]


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    run = trained(tmp_path)
    for path in (run.checkpoint, run.best):
        path.write_bytes(path.read_bytes()[:1000])
    former(run.checkpoint).unlink()
    with pytest.raises(ConfigError, match=r"checkpoint\.pt: cannot be read: .*; restore the file, or train"):
        fit(run.config(), run, True, Silent())
    with pytest.raises(ConfigError, match=r"best\.pt: cannot be read"):
        run.load_model()


def test_a_checkpoint_of_another_version_is_named(tmp_path: Path) -> None:
    run = trained(tmp_path)
    for path, part in ((run.checkpoint, "optimisers"), (run.best, "model")):
        state = torch.load(path, weights_only=True)
        state[f"former_{part}"] = state.pop(part)
        torch.save(state, path)
    with pytest.raises(ConfigError, match=r"checkpoint\.pt does not fit the networks of .*'optimisers'.*another run"):
        fit(run.config(), run, True, Silent())
    with pytest.raises(ConfigError, match=r"best\.pt does not fit the networks of .*'model'"):
        run.load_model()


@pytest.mark.parametrize("device", ["tpu", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(tmp_path: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=f"device '{device}': .*; use cpu, or a torch that was built for it"):
        fit(tiny_config(tmp_path), Run(tmp_path / "run"), False, Silent(), device)
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run = trained(tmp_path)
    with pytest.raises(ConfigError, match="already holds a run; add --resume"):
        fit(tiny_config(tmp_path), run, False, Silent())


def test_a_loss_that_is_not_finite_names_the_step_the_term_and_the_remedy(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, loss={"reconstruction_weight": 1e40}, optimiser={"epochs": 4, "batch_size": 30})
    with pytest.raises(
        TrainingError,
        match=r"epoch 1, step 1: the reconstruction term is -?(inf|nan); begin again with --resume and --set .*\.blur",
    ):
        fit(config, Run(tmp_path / "run"), False, Silent())


def test_a_gradient_that_is_not_finite_changes_no_weight(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, loss={"reconstruction": "mse", "reconstruction_weight": 1e37})
    run = Run(tmp_path / "run")
    with pytest.raises(TrainingError, match="step 1: the gradient of the reconstruction term is inf"):
        fit(config, run, False, Silent())
    assert not run.checkpoint.exists()


def test_a_batch_larger_than_the_data_is_refused(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, optimiser={"batch_size": 1000})
    with pytest.raises(ConfigError, match="batch_size = 1000 is above the 120 training showers"):
        fit(config, Run(tmp_path / "run"), False, Silent())
    assert not (tmp_path / "run").exists()


def test_the_unconditional_form_trains(tmp_path: Path) -> None:
    networks = {"latent": 4, "channels": [4, 4, 4, 4], "hidden": [8, 8, 8], "conditional": False}
    run = trained(tmp_path, model=networks)
    model = run.load_model()
    assert isinstance(model, SinkhornAutoencoder)
    assert model.noise_generator.conditional is False


def test_learning_rate_warms_up_and_falls_to_its_final_share() -> None:
    config = OptimiserConfig(epochs=10, warmup_epochs=2, learning_rate=1.0, final_share=0.1)
    rates = [learning_rate(config, e / 4) for e in range(41)]
    assert rates[0] < 0.01
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 8
    assert rates[-1] == pytest.approx(0.1)


def test_latents_that_the_divergence_cannot_tell_apart_are_warned_of(tmp_path: Path) -> None:
    for blur, warned in ((1e-3, False), (5.0, True)):
        watching = Silent()
        run = Run(tmp_path / str(blur))
        fit(tiny_config(tmp_path, loss={"blur": blur}), run, False, watching)
        assert (len(watching.warnings) == 2) is warned
        assert all("wide, less than 10 times loss.blur = 5: below its blur" in text for text in watching.warnings)
        assert json.loads(run.log.read_text().splitlines()[-1])["validation/latent_diameter"] > 0


def test_the_last_good_epoch_is_kept_when_a_term_is_not_finite(tmp_path: Path) -> None:
    run = trained(tmp_path)
    broken = override_config(run.config(), ["optimiser.epochs=6", "loss.sinkhorn_weight=1e39"])
    before = run.checkpoint.read_bytes()
    with pytest.raises(
        TrainingError, match=r"epoch 5, step 17: the sinkhorn term is inf; continue from the last .*--resume"
    ):
        fit(broken, run, True, Silent())
    assert run.checkpoint.read_bytes() == before


def test_a_precision_for_gpus_is_refused_on_a_cpu(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, optimiser={"batch_size": 30, "precision": "bfloat16"})
    with pytest.raises(ConfigError, match=r"optimiser\.precision = 'bfloat16' is for GPUs.*--device cuda"):
        fit(config, Run(tmp_path / "run"), False, Silent())
