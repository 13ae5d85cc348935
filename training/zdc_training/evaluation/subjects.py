"""The subject of `train-zdc evaluate`: a run or an exported model, with its test file."""

from dataclasses import dataclass
from pathlib import Path

from zdc_common.errors import ConfigError
from zdc_common.file_content import sha256_of
from zdc_detector.card import CARD_FILE, ModelCard
from zdc_detector.finish import Finish
from zdc_detector.ranges import Ranges
from zdc_detector.showers import read_showers

from zdc_training.config.config import data_path, held_out_path, parse_config
from zdc_training.data.datasets import check_calorimeter, check_unseen
from zdc_training.evaluation.generate import RateSource, exported_graph, network
from zdc_training.runs.provenance import located, read_provenance
from zdc_training.runs.run import Run


@dataclass(frozen=True)
class Subject:
    """A model to evaluate.

    Attributes
    ----------
    source, finish : Source of its responses.
    test : The file of simulations.
    folder : Default folder for the figures.
    ranges : Trained ranges, if known.
    notes : Sentences for the report.
    """

    source: RateSource
    finish: Finish
    test: Path
    folder: Path
    ranges: Ranges | None
    notes: tuple[str, ...] = ()


def open_subject(folder: Path, test: Path | None) -> Subject:
    """The subject in a folder of a run or of an exported model.

    Parameters
    ----------
    test : Test file; None: that of the configuration.

    Raises
    ------
    ConfigError : the folder has neither, there is no test file, or it has another calorimeter or a particle that the
        model was trained on.
    ModelError : an exported model is damaged.
    """
    if test is not None and not test.is_file():
        raise ConfigError(f"{test}: no such file; --test names a file of showers, HDF5")
    return _exported(folder, test) if (folder / CARD_FILE).is_file() else subject_of_run(Run(folder), test)


def subject_of_run(run: Run, test: Path | None = None) -> Subject:
    """The subject of a run, see `open_subject`."""
    config, record = run.config(), read_provenance(run)
    model = run.load_model()
    data = located(run, config.data)
    test = test or held_out_path(data)
    check_unseen(data_path(data.train), test)
    if record is not None and record.source is not None and sha256_of(test) in record.source.trained_on.values():
        raise ConfigError(
            f"{record.source}, with whose weights {run.folder} began, was trained on {test}: figures of merit need "
            "showers that were not trained on; name another file with --test"
        )
    ranges = record.ranges if record is not None else None
    return Subject(network(model), config.output.finish, test, run.folder, ranges)


def _exported(folder: Path, test: Path | None) -> Subject:
    card = ModelCard.read(folder)
    data = parse_config(card.config, str(folder)).data
    notes = []
    if test is None:
        test = held_out_path(data)
        if sha256_of(test) != card.data.files.get(test.name):
            notes.append(f"{test.name} is not the file of the card's figures.")
    check_calorimeter(f"{folder} gives responses", card.calorimeter, test, read_showers(test).calorimeter)
    train = _file_of(card, data.train)
    if train is None:
        notes.append(f"Whether {test.name} holds particles that were trained on was not checked: "
                     f"{data.train.name}, as it was trained on, is not here.")  # fmt: skip
    else:
        check_unseen(train, test)
    output = Path("runs") / f"{card.name}-{card.version}"
    return Subject(exported_graph(folder, card), card.finish, test, output, card.ranges, tuple(notes))


def _file_of(card: ModelCard, path: Path) -> Path | None:
    """The data file with the name of `path`, if it exists and has the hash in the card."""
    try:
        found = data_path(path)
    except ConfigError:
        return None
    return found if sha256_of(found) == card.data.files.get(path.name) else None
