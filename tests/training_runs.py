"""A configuration that trains in seconds on toy showers, and runs made with it."""

from pathlib import Path

from shower_samples import toy_showers, write_showers
from zdc_training.config import TrainingConfig, parse_config
from zdc_training.fit import fit
from zdc_training.run import Run


class Silent:
    """Follows a run without a word; stops it where asked, as Ctrl-C does."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.records: list[dict[str, float]] = []
        self.interrupt_after = interrupt_after

    def step(self, epoch: int, step: int, steps: int, terms: dict[str, float]) -> None:
        assert 1 <= step <= steps
        if self.interrupt_after is not None and epoch > self.interrupt_after and step == steps:
            raise KeyboardInterrupt
        assert set(terms) == {"reconstruction", "sinkhorn", "diversity", "encoder_l2"}

    def epoch(self, record: dict[str, float]) -> None:
        self.records.append(record)


def tiny_config(folder: Path, **overrides: object) -> TrainingConfig:
    """Networks of a few thousand weights; `overrides` are top-level keys or whole sections."""
    train, test = folder / "train.h5", folder / "test.h5"
    if not train.exists():
        write_showers(train, toy_showers(160, seed=1))
        write_showers(test, toy_showers(24, repeats=5, seed=2))
    tree: dict[str, object] = {
        "validate_every": 2,
        "data": {"train": str(train), "test": str(test), "validation_share": 0.25, "description": "toy showers"},
        "model": {"latent": 4, "channels": [4, 4, 4, 4], "hidden": [8, 8, 8]},
        "loss": {"reconstruction": "poisson", "diversity_weight": 0.01, "encoder_l2": 1e-4},
        "optimiser": {"epochs": 4, "batch_size": 30},
        "output": {"name": "toy", "limitations": ["Toy showers."]},
    }
    config = parse_config(tree | overrides, "tiny")
    assert isinstance(config, TrainingConfig)
    return config


def trained(folder: Path, name: str = "run", **overrides: object) -> Run:
    """A finished run."""
    run = Run(folder / name)
    fit(tiny_config(folder, **overrides), run, False, Silent())
    return run
