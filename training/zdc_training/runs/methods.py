"""The networks and the learner of each method: the one place that knows them all."""

import torch
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.finish import Finish
from zdc_detector.showers import Showers

from zdc_training.config.config import AnyConfig
from zdc_training.config.fast import FastConfig
from zdc_training.config.images import DcganConfig, SinkhornConfig, VaeConfig
from zdc_training.fast.learner import FastLearner
from zdc_training.fast.model import FastAutoencoder
from zdc_training.images.dcgan import ConditionalGan, DcganLearner
from zdc_training.images.e2esae import SinkhornAutoencoder
from zdc_training.images.learner import AutoencoderLearner
from zdc_training.images.prior_autoencoders import PriorAutoencoder
from zdc_training.nn.learner import Generator, Learner


def build_model(config: AnyConfig, calorimeter: Calorimeter) -> Generator:
    """Untrained networks of a configuration, initialised from its seed."""
    torch.manual_seed(config.seed)
    if isinstance(config, FastConfig):
        return FastAutoencoder(config.model, calorimeter)
    if isinstance(config, DcganConfig):
        return ConditionalGan(config.model, calorimeter, rates=config.output.finish is Finish.POISSON)
    rates = config.loss.reconstruction == "poisson"
    if isinstance(config, SinkhornConfig):
        return SinkhornAutoencoder(config.model, calorimeter, rates=rates)
    return PriorAutoencoder(config.model, calorimeter, rates=rates, spread=isinstance(config, VaeConfig))


def build_learner(config: AnyConfig, training: Showers, device: torch.device) -> Learner:
    """Untrained networks on a device, with the showers they are to learn from."""
    model = build_model(config, training.calorimeter)
    if isinstance(config, FastConfig):
        assert isinstance(model, FastAutoencoder)
        return FastLearner(config, model, training, device)
    if isinstance(config, DcganConfig):
        assert isinstance(model, ConditionalGan)
        return DcganLearner(config, model, training, device)
    assert isinstance(model, SinkhornAutoencoder | PriorAutoencoder)
    return AutoencoderLearner(config, model, training, device)
