"""The end of a training, the decrease of its learning rate, and its record in TensorBoard."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.models.training_runs import Silent, method_config, tiny_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from zdc_detector.finish import Finish
from zdc_training.config.config import override_config
from zdc_training.config.sections import OptimiserConfig
from zdc_training.data.datasets import load_split
from zdc_training.evaluation.validation import doubts
from zdc_training.images.learner import AutoencoderLearner
from zdc_training.loop.fit import fit
from zdc_training.loop.steps import learning_rate
from zdc_training.nn.method import build_learner
from zdc_training.runs.checkpoints import load_state
from zdc_training.runs.run import Run

PATIENT = ["validate_every=1", "optimiser.epochs=12", "optimiser.patience=1", "optimiser.learning_rate=0.05"]


def stops_after(crps: list[float], patience: int) -> int:
    """The validation after which `patience` validations gave no better result."""
    for end in range(1, len(crps) + 1):
        best = int(np.argmin(crps[:end]))
        if end - 1 - best >= patience:
            return end
    return len(crps)


def test_a_run_stops_when_validations_get_no_better_and_goes_on_with_more_patience(tmp_path: Path) -> None:
    config, run, watching = override_config(tiny_config(tmp_path), PATIENT), Run(tmp_path / "run"), Silent()
    fit(config, run, False, watching)
    crps = [record["validation/crps"] for record in run.records()]
    assert len(crps) < 12
    assert stops_after(crps, 1) == len(crps)
    assert watching.said == [f"stopped after epoch {len(crps)}: no smaller CRPS in 1 validation (optimiser.patience)"]
    assert load_state(run.best)["epoch"] == 1 + int(np.argmin(crps))

    cut = Run(tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        fit(config, cut, False, Silent(interrupt_after=len(crps) - 1))
    fit(config, cut, True, Silent())
    weights = load_state(run.checkpoint)["model"]
    assert all(torch.equal(value, weights[name]) for name, value in load_state(cut.checkpoint)["model"].items())

    fit(config, run, True, Silent())
    assert len(run.records()) == len(crps)
    fit(override_config(config, ["optimiser.patience=2"]), run, True, Silent())
    assert len(run.records()) > len(crps)


def test_the_learning_rate_may_fall_by_the_same_factor_in_every_epoch() -> None:
    config = OptimiserConfig(epochs=12, warmup_epochs=2, learning_rate=0.5, final_share=0.01, schedule="exponential")
    rates = [learning_rate(config, epoch) for epoch in range(2, 13)]
    assert rates[0] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.005)
    factors = [after / before for before, after in pairwise(rates)]
    assert factors == pytest.approx([math.exp(math.log(0.01) / 10)] * 10)


@pytest.mark.parametrize("name", ["e2esae", "cdcgan"])
def test_tensorboard_has_the_norm_of_the_gradient_and_a_picture_of_responses(tmp_path: Path, name: str) -> None:
    run = Run(tmp_path / "run")
    fit(method_config(tmp_path, name), run, False, Silent())
    norms = ["gradient_norm", "gradient_norm_2"][: 2 if name == "cdcgan" else 1]
    assert all(record[norm] > 0 for record in run.records() for norm in norms)
    board = EventAccumulator(str(run.folder / "tensorboard"))
    board.Reload()
    for norm in norms:
        assert [event.value for event in board.Scalars(norm)] == pytest.approx([r[norm] for r in run.records()])
    pictures = board.Images("responses")
    assert [event.step for event in pictures] == [2, 4]
    assert pictures[0].width == 8 * 46 * 2
    assert pictures[0].height == 2 * 46 * 2


def test_a_model_without_light_or_with_far_too_much_is_warned_of(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    for ratio, warned in ((0.0, True), (0.05, True), (0.5, False), (2.0, False), (50.0, True)):
        texts = doubts(config, {"photon_sum_ratio": ratio, "latent_diameter": 10.0})
        assert bool(texts) is warned, ratio
    rounding = override_config(config, [f"output.finish={Finish.ROUND.value}"])
    (text,) = doubts(rounding, {"photon_sum_ratio": 0.0})
    assert text.startswith("the model gives 0 times the light of the simulated showers; ")
    assert text.endswith('finish = "round" makes 0 of rates below 0.5')


def test_a_training_says_so_when_its_model_gives_no_light(tmp_path: Path) -> None:
    watching = Silent()
    config = override_config(method_config(tmp_path, "cdcgan-round"), ["optimiser.learning_rate=1e-9"])
    fit(config, Run(tmp_path / "run"), False, watching)
    assert [text for text in watching.warnings if "times the light of the simulated showers" in text]


def test_a_training_says_what_may_spoil_it_once(tmp_path: Path) -> None:
    tiny, watching = method_config(tmp_path, "fast"), Silent()
    config = override_config(tiny, ["model.species=[22]", "model.decay_lengths=[0]", "optimiser.epochs=1"])
    run = Run(tmp_path / "run")
    fit(config, run, False, watching)
    about = [text for text in watching.warnings if "add the code to model.species" in text]
    assert len(about) == len(set(about)) == len(set(load_split(config.data)[0].particles.pdg.tolist()) - {22})
    again = Silent()
    fit(override_config(config, ["optimiser.epochs=2"]), run, True, again)
    assert not [text for text in again.warnings if "species" in text]


def test_gradients_on_a_cpu_have_the_digits_of_single_precision(tmp_path: Path) -> None:
    """With channels last, batch normalisation on a CPU has an error of 0.1 % here."""
    networks = {"latent": 8, "channels": [16, 16, 16, 16], "hidden": [8, 8, 8]}
    config = tiny_config(tmp_path, model=networks, data={"train": str(tmp_path / "train.h5")})
    learner = build_learner(config, load_split(config.data)[0], torch.device("cpu"))
    assert isinstance(learner, AutoencoderLearner)
    images, particles = learner.batch(np.arange(120), np.random.default_rng(1))

    def gradients(kind: torch.dtype) -> dict[str, torch.Tensor]:
        """Gradients of the reconstruction term, which has no noise."""
        learner.model.to(kind).train()
        learner.model.zero_grad()
        noise = torch.Generator().manual_seed(1)
        learner.joint(images.to(kind), particles.to(kind), noise)["reconstruction"].backward()
        named = learner.model.named_parameters()
        return {name: weights.grad.double().clone() for name, weights in named if weights.grad is not None}

    single, double = gradients(torch.float32), gradients(torch.float64)
    for name in (f"encoder.convolutions.{layer}.weight" for layer in (0, 3, 6)):
        assert float((single[name] - double[name]).norm() / double[name].norm()) < 1e-4, name
