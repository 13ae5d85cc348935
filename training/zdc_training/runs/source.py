"""The model that a training starts from: a run, or an exported model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from zdc_common.errors import ConfigError, ModelError
from zdc_common.file_content import sha256_of
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.card import CARD_FILE, GRAPH_FILE, ModelCard, SourceSpec
from zdc_detector.showers import Showers

from zdc_training.config.config import parse_config
from zdc_training.config.sections import Experiment
from zdc_training.config.source import source_folder
from zdc_training.nn.learner import Generator
from zdc_training.nn.method import build_model
from zdc_training.runs.checkpoints import load_state
from zdc_training.runs.graph_weights import weights_of_graph
from zdc_training.runs.provenance import read_provenance
from zdc_training.runs.run import Run
from zdc_training.runs.weights_file import load_weights


@dataclass(frozen=True)
class Source:
    """A trained model with what it was trained on.

    Attributes
    ----------
    folder : Folder of the run or of the exported model.
    spec : Name, version and hash, for the record of the new run and the card of the new model.
    weights : All weights by name; None if the model was exported without them, then they are in its graph.
    """

    folder: Path
    config: Experiment
    calorimeter: Calorimeter
    spec: SourceSpec
    weights: Mapping[str, Tensor] | None

    def networks(self, training: Showers) -> tuple[Generator, list[str]]:
        """The trained networks on the CPU, and the names of those that are not in the graph and are untrained.

        Parameters
        ----------
        training : Showers for the statistics of batch normalisations that the graph lacks.

        Raises
        ------
        ConfigError : the weights do not fit the networks.
        """
        model = build_model(self.config, self.calorimeter)
        if self.weights is None:
            return model, weights_of_graph(self.folder / GRAPH_FILE, model, training)
        try:
            model.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(f"start_from: {self.folder}: {reason} it may be of another version") from error
        return model, []


def open_source(start_from: Path) -> Source:
    """Read the model of `Experiment.start_from`, see `zdc_training.config.source.source_folder`.

    Raises
    ------
    ConfigError : there is no such model, or a file of it is missing, damaged or of another model.
    """
    folder = source_folder(start_from)
    return _exported(folder) if (folder / CARD_FILE).is_file() else _trained(Run(folder))


def _exported(folder: Path) -> Source:
    try:
        card = ModelCard.read(folder)
    except ModelError as error:
        raise ConfigError(f"start_from: {error}") from error
    config = parse_config(card.config, str(folder / CARD_FILE))
    name = config.data.train.name
    trained_on = {name: card.data.files[name]} if name in card.data.files else {}
    spec = SourceSpec(name=card.name, version=card.version, sha256=card.graph_sha256, trained_on=trained_on)
    return Source(folder, config, card.calorimeter, spec, load_weights(folder, card))


def _trained(run: Run) -> Source:
    if not run.best.is_file():
        raise ConfigError(
            f"start_from: {run.folder} has no {run.best.name}; let `train-zdc fit` reach its first validation"
        )
    config, record, saved = run.config(), read_provenance(run), load_state(run.best)
    trained_on = {} if record is None else {record.train.name: record.train_sha256}
    spec = SourceSpec(name=config.output.name, version=None, sha256=sha256_of(run.best), trained_on=trained_on)
    return Source(run.folder, config, Calorimeter.model_validate(saved["calorimeter"]), spec, saved["model"])
