"""Latents in two dimensions: figures 1 and 8 of the paper on calorimeter data."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from zdc_common.errors import ConfigError
from zdc_detector.particles import ENERGY, by_frequency, species_name
from zdc_detector.random import normals
from zdc_detector.showers import Showers
from zdc_metrics.reports.plot_style import plot_style

from zdc_training.data.datasets import load_split
from zdc_training.images.generator import ImageAutoencoder
from zdc_training.reproduction.runs import Finished
from zdc_training.runs.provenance import located

_SEED = 1
_MARKER = 6
_PERPLEXITY = 30.0  # scikit-learn's own, for samples that are large enough


@dataclass(frozen=True)
class Latents:
    """Latents of the validation showers; arrays of shape (N, latent).

    Attributes
    ----------
    encoded : Output of the encoder for their responses; for a VAE, the mean of the posterior.
    generated : Latents for their particles from noise: of the noise generator, or samples of the prior.
    """

    label: str
    showers: Showers
    encoded: NDArray[np.float32]
    generated: NDArray[np.float32]


@torch.no_grad()
def latents_of(finished: Finished) -> Latents:
    """Encoded and generated latents of the validation showers.

    Raises
    ------
    ConfigError : the model has no encoder.
    """
    model = finished.run.load_model()
    showers = load_split(located(finished.run, finished.run.config().data))[1]
    particles = torch.from_numpy(showers.particles.conditions)
    noise = torch.from_numpy(normals(_SEED, 0, len(showers), model.noise))
    if not isinstance(model, ImageAutoencoder):
        raise ConfigError(
            f"{finished.entry.config} has no encoder, so there are no latents to draw; choose an autoencoder"
        )
    seen, _ = model.to_frame(torch.from_numpy(showers.responses.astype(np.float32)).log1p(), particles)
    conditions = model.scaler(particles)
    encoded, generated = model.encode(seen, conditions)[:, : model.latent], model.draw_latents(noise, conditions)
    return Latents(finished.entry.label, showers, encoded.numpy(), generated.numpy())


def embed(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """t-SNE in two dimensions (van der Maaten and Hinton, JMLR 9, 2008), shape (N, 2); seeded."""
    neighbours = min(_PERPLEXITY, (len(points) - 1) / 3)
    found: NDArray[np.float32] = TSNE(2, perplexity=neighbours, init="pca", random_state=_SEED).fit_transform(points)
    return found


def draw_fig1(models: Sequence[Latents]) -> Figure:
    """Encoded showers of each model, coloured by species and by energy."""
    with plot_style():
        figure = Figure(figsize=(8.4, 3.9 * len(models)), layout="constrained")
        for line, model in zip(figure.subplots(len(models), 2, squeeze=False), models, strict=True):
            places = embed(model.encoded)
            particles = model.showers.particles
            lit = model.showers.responses.any(axis=(1, 2))
            for code in by_frequency(particles.pdg)[0]:
                some = (particles.pdg == code) & lit
                line[0].scatter(
                    places[some, 0], places[some, 1], s=_MARKER, label=species_name(int(code)), linewidths=0
                )
            line[0].scatter(places[~lit, 0], places[~lit, 1], s=_MARKER, color="lightgrey", label="empty", linewidths=0)
            line[0].legend(markerscale=2.5, fontsize=7)
            energy = line[1].scatter(
                places[:, 0],
                places[:, 1],
                s=_MARKER,
                c=np.log10(particles.conditions[:, ENERGY]),
                cmap="viridis",
                linewidths=0,
            )
            figure.colorbar(energy, ax=line[1], label="log10(energy / GeV)")
            for axes, what in zip(line, ("species", "energy"), strict=True):
                _embedded(axes, f"{model.label}: latents of simulated showers, by {what}")
    return figure


def draw_fig8(model: Latents) -> Figure:
    """Encoded and generated latents of the same particles, in one embedding."""
    places = embed(np.concatenate([model.encoded, model.generated]))
    encoded, generated = places[: len(model.encoded)], places[len(model.encoded) :]
    with plot_style():
        figure = Figure(figsize=(5.2, 5), layout="constrained")
        axes = figure.subplots()
        for points, color, label in (
            (encoded, "tab:red", "encoded simulated showers"),
            (generated, "tab:blue", "noise generator"),
        ):
            axes.scatter(points[:, 0], points[:, 1], s=_MARKER, color=color, label=label, linewidths=0, alpha=0.6)
        axes.legend(markerscale=2.5)
        _embedded(axes, f"{model.label}: latents of the validation particles")
    return figure


def _embedded(axes: Axes, title: str) -> None:
    """Set title and labels without numbers: distances in the picture have no unit."""
    axes.set_title(title)
    axes.set_xlabel("t-SNE, first coordinate")
    axes.set_ylabel("t-SNE, second coordinate")
    axes.set_xticks([])
    axes.set_yticks([])
