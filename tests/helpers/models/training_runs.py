"""A configuration that trains in seconds on toy showers, and runs made with it."""

from pathlib import Path

from helpers.files.shower_samples import toy_showers, write_showers
from zdc_training.config.config import override_config, parse_config
from zdc_training.config.fast import FastConfig, FastModelConfig
from zdc_training.config.images import SinkhornConfig
from zdc_training.config.sections import Experiment
from zdc_training.loop.fit import fit
from zdc_training.runs.checkpoints import load_state, save_state
from zdc_training.runs.run import Run

SMALL_FAST = FastModelConfig(
    noise=5, latent=4, condition_width=16, generator_width=16, decoder_width=16, encoder_width=16, gate_width=16
)

NETWORKS: dict[str, object] = {"latent": 4, "channels": [4, 4, 4, 4], "hidden": [8, 8, 8]}


class Silent:
    """Follows a run without output; can stop it, as Ctrl-C does."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.records: list[dict[str, float]] = []
        self.warnings: list[str] = []
        self.said: list[str] = []
        self.interrupt_after = interrupt_after

    def step(self, epoch: int, step: int, steps: int, terms: dict[str, float]) -> None:
        assert 1 <= step <= steps
        if self.interrupt_after is not None and epoch > self.interrupt_after and step == steps:
            raise KeyboardInterrupt
        assert terms

    def epoch(self, record: dict[str, float]) -> None:
        self.records.append(record)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def say(self, text: str) -> None:
        self.said.append(text)


def tiny_config(folder: Path, **overrides: object) -> SinkhornConfig:
    """Networks of a few thousand weights; `overrides` are top-level keys or whole sections."""
    train, test = folder / "train.h5", folder / "test.h5"
    if not train.exists():
        write_showers(train, toy_showers(160, seed=1))
        write_showers(test, toy_showers(24, repeats=2, seed=2))
    tree: dict[str, object] = {
        "validate_every": 2,
        "data": {"train": str(train), "test": str(test), "validation_share": 0.25, "description": "toy showers"},
        "model": NETWORKS,
        "loss": {"reconstruction": "poisson", "diversity_weight": 0.01, "encoder_l2": 1e-4},
        "optimiser": {"epochs": 4, "batch_size": 30},
        "output": {"name": "toy", "limitations": ["Toy showers."]},
    }
    config = parse_config(tree | overrides, "tiny")
    assert isinstance(config, SinkhornConfig)
    return config


#: Every method and form: top-level keys of a configuration, in addition to those of `tiny_config`.
METHODS: dict[str, dict[str, object]] = {
    "e2esae": {},
    "e2esae-unconditional": {"model": NETWORKS | {"conditional": False}},
    "e2esae-laplacian-on-the-face": {
        "model": NETWORKS | {"frame": "face", "scaling": "linear"},
        "loss": {"reconstruction": "laplacian"},
        "output": {"name": "toy", "finish": "round"},
    },
    "cvae": {"method": "vae", "loss": {"reconstruction": "poisson", "kl_weight": 0.1}},
    "cwae": {"method": "wae", "loss": {"reconstruction": "poisson"}},
    "swae": {
        "method": "swae",
        "model": NETWORKS | {"conditional": False, "frame": "face"},
        "loss": {"projections": 8},
        "output": {"name": "toy", "finish": "round"},
    },
    "sae-hypersphere": {"method": "sae", "loss": {"reconstruction": "poisson"}},
    "sae-normal": {"method": "sae", "model": NETWORKS | {"prior": "normal"}, "loss": {"reconstruction": "poisson"}},
    "cdcgan": {"method": "dcgan", "loss": {}},
    "cdcgan-round": {"method": "dcgan", "loss": {}, "output": {"name": "toy", "finish": "round"}},
    "fast": {},
}


def method_config(folder: Path, name: str) -> Experiment:
    """A tiny configuration of one of `METHODS`, whose exported model has its name."""
    if name == "fast":
        config: Experiment = tiny_fast_config(folder)
    else:
        tree = tiny_config(folder).model_dump(mode="json") | {"model": NETWORKS} | METHODS[name]
        config = parse_config(tree, name)
    return override_config(config, [f"output.name={name}"])


def tiny_fast_config(folder: Path, **overrides: object) -> FastConfig:
    """The same for the fast generator."""
    data = tiny_config(folder).model_dump(mode="json")["data"]
    tree: dict[str, object] = {
        "method": "fast",
        "validate_every": 2,
        "keep": "last",
        "data": data,
        "model": SMALL_FAST.model_dump(mode="json") | {"reach": [0, 1, 2, 8, 20, 43]},
        "loss": {"draws": 2},
        "optimiser": {"epochs": 4, "batch_size": 30, "average": 0.9, "weight_decay": 1e-4},
        "output": {"name": "toy-fast", "limitations": ["Toy showers."]},
    }
    config = parse_config(tree | overrides, "tiny fast")
    assert isinstance(config, FastConfig)
    return config


def trained(folder: Path, name: str = "run", **overrides: object) -> Run:
    """A finished run."""
    return finished(folder / name, tiny_config(folder, **overrides))


def finished(folder: Path, config: Experiment) -> Run:
    """A run of a configuration, from its beginning to its end."""
    run = Run(folder)
    fit(config, run, False, Silent())
    return run


def brighten(run: Run) -> None:
    """Make a toy model brighter, whose fibres are all below half a photon."""
    saved = load_state(run.best)
    weights = dict(saved["model"])
    bias = next(name for name in reversed(weights) if name.startswith("decoder.") and name.endswith("bias"))
    weights[bias] = weights[bias] + 1.5
    save_state(run.best, saved | {"model": weights})
