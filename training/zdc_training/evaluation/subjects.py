"""What `train-zdc evaluate` can look at: a run, or an exported model, with the file to compare it with."""

from dataclasses import dataclass
from pathlib import Path

from zdc_common.errors import ConfigError
from zdc_common.file_content import sha256_of
from zdc_detector.card import CARD_FILE, ModelCard, Ranges
from zdc_detector.finish import Finish

from zdc_training.config.config import data_path, held_out_path, parse_config
from zdc_training.data.datasets import check_unseen
from zdc_training.evaluation.generate import RateSource, exported_graph, network
from zdc_training.runs.provenance import located, read_provenance
from zdc_training.runs.run import Run


@dataclass(frozen=True)
class Subject:
    """A model to evaluate.

    Attributes
    ----------
    source, finish : Give its responses.
    test : The file of simulations.
    folder : Gets the figures, unless told otherwise.
    ranges : What it was trained on, if that is known.
    notes : What the report should say.
    """

    source: RateSource
    finish: Finish
    test: Path
    folder: Path
    ranges: Ranges | None
    notes: tuple[str, ...] = ()


def open_subject(folder: Path, test: Path | None) -> Subject:
    """A run folder or an exported model's, and a test file: the one named, or else that of its configuration.

    Raises
    ------
    ConfigError : neither is there, there is no test file, or the model was trained on a particle of it.
    ModelError : an exported model is damaged.
    """
    if test is not None and not test.is_file():
        raise ConfigError(f"{test}: no such file; --test names a file of showers, HDF5")
    return _exported(folder, test) if (folder / CARD_FILE).is_file() else subject_of_run(Run(folder), test)


def subject_of_run(run: Run, test: Path | None = None) -> Subject:
    """See `open_subject`."""
    config, record = run.config(), read_provenance(run)
    model = run.load_model()
    data = located(run, config.data)
    test = test or held_out_path(data)
    check_unseen(data_path(data.train), test)
    ranges = record.ranges if record is not None else None
    return Subject(network(model), config.output.finish, test, run.folder, ranges)


def _exported(folder: Path, test: Path | None) -> Subject:
    card = ModelCard.read(folder)
    data = parse_config(card.config, str(folder)).data
    notes = []
    if test is None:
        test = held_out_path(data)
        if sha256_of(test) != card.data.files.get(test.name):
            notes.append(f"{test.name} is not the file that the card's figures were taken on.")
    train = _file_of(card, data.train)
    if train is None:
        notes.append(f"Whether {test.name} holds particles that were trained on was not checked: "
                     f"{data.train.name}, as it was trained on, is not here.")  # fmt: skip
    else:
        check_unseen(train, test)
    output = Path("runs") / f"{card.name}-{card.version}"
    return Subject(exported_graph(folder, card), card.finish, test, output, card.ranges, tuple(notes))


def _file_of(card: ModelCard, path: Path) -> Path | None:
    """The file of that name, if it is here with the content that the card has the hash of."""
    try:
        found = data_path(path)
    except ConfigError:
        return None
    return found if sha256_of(found) == card.data.files.get(path.name) else None
