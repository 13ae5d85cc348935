"""Weights of an exported model from its graph, for models without a file of weights (version 1 of the shipped ones).

A graph has the exact weights of the generating networks, under the same names. It lacks the encoder and other networks
that only training needs, and its batch normalisations are folded into the layers before them. `unfolded` separates
them again: in evaluation, the networks then give the same output as the graph; in training, it differs only as the
statistics of a batch differ from those of all training showers.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from zdc_common.errors import ConfigError, ModelError
from zdc_detector.showers import Showers

from zdc_training.nn.graph import ExportedGraph, check_parity
from zdc_training.nn.learner import Generator

_PREFIX = "model."  # of names in a graph, see `zdc_training.nn.graph.ExportedGraph`
_SAMPLE = 2000  # training particles whose responses give the statistics of normalisations


def weights_of_graph(path: Path, model: Generator, training: Showers) -> list[str]:
    """Copy the weights in a graph to untrained networks; returns the networks that it lacks.

    Parameters
    ----------
    training : Showers for the statistics of batch normalisations.

    Raises
    ------
    ConfigError : the graph has other networks, or another output than `model` with its weights.
    """
    graph = onnx.load(str(path)).graph
    found = {
        item.name.removeprefix(_PREFIX): torch.from_numpy(numpy_helper.to_array(item).copy())
        for item in graph.initializer
        if item.name.startswith(_PREFIX)
    }
    own = model.state_dict()
    apart = tuple(f"{name}." for name in (*model.training_only, *model.foldable))
    wanted = {name for name in own if not name.startswith(apart)}
    # A graph may lack buffers that it does not use; they follow from the configuration.
    parameters = dict(model.named_parameters())
    lacking = {name for name in wanted - found.keys() if name in parameters}
    if lacking:
        raise ConfigError(
            f"start_from: {path} has no weights under the name {min(lacking)}; it may be of another version"
        )
    model.eval()
    with torch.no_grad():
        for name in wanted & found.keys():
            own[name].copy_(found[name])
        for name in model.foldable:
            prefix = f"{name}."
            layers = {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}
            unfolded(model.get_submodule(name), layers, _inputs_of(name, model, training))
    try:
        check_parity(ExportedGraph(model).eval(), path, training.particles)
    except ModelError as error:
        raise ConfigError(f"start_from: {path}: {error}") from error
    return [name for name in model.training_only if any(key.startswith(f"{name}.") for key in parameters)]


def _inputs_of(name: str, model: Generator, training: Showers) -> Tensor:
    """The input of a submodule of a model for the first training particles and random noise."""
    some = training.particles[:_SAMPLE]
    device = next(model.parameters()).device
    noise = torch.randn(len(some), model.noise, generator=torch.Generator().manual_seed(1))
    inputs = [torch.from_numpy(some.conditions), noise]
    inputs += [torch.from_numpy(some.pdg.astype(np.int64))] if model.takes_pdg else []
    taken: list[Tensor] = []
    hook = model.get_submodule(name).register_forward_pre_hook(lambda _, values: taken.append(values[0]))
    try:
        model.rates(*(each.to(device) for each in inputs))
    finally:
        hook.remove()
    return taken[0]


def unfolded(layers: nn.Module, folded: dict[str, Tensor], values: Tensor) -> None:
    """Set layers and their batch normalisations from folded weights, the inverse of `nn.graph.fold_batch_norms`.

    A normalisation gets the mean and the variance of its inputs for `values`, and a weight and a bias that undo the
    normalisation.

    Parameters
    ----------
    folded : ``<place>.weight`` and ``<place>.bias``; <place> counts layers without the normalisations.
    values : Input of the first layer.
    """
    place = -1
    for layer in layers.children():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            axes = [axis for axis in range(values.dim()) if axis != 1]
            mean, variance = values.double().mean(axes), values.double().var(axes, correction=0)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.copy_(mean)
            layer.running_var.copy_(variance)
            layer.weight.copy_((variance + layer.eps).sqrt())
            layer.bias.copy_(folded[f"{place}.bias"].to(mean) + mean)
        else:
            place += 1
            if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
                layer.weight.copy_(folded[f"{place}.weight"])
                if layer.bias is not None:
                    layer.bias.copy_(folded[f"{place}.bias"])
        values = layer(values)
