"""Split of a file of showers by particle into a training file and a test file (`train-zdc split`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from zdc_common.errors import ConfigError
from zdc_detector.random import TEST_STREAM
from zdc_detector.shower_rows import file_attributes
from zdc_detector.showers import Showers, ShowerWriter, read_showers
from zdc_metrics.statistics.splits import SAMPLE

from zdc_training.data.convert import check_output
from zdc_training.data.datasets import same_particles, split_by_particle

_BLOCK = 2000


@dataclass(frozen=True)
class SplitFiles:
    """The result of `split_file`: paths and their showers."""

    train: tuple[Path, Showers]
    test: tuple[Path, Showers]

    def __str__(self) -> str:
        lines = [f"wrote {len(showers)} showers of {_particles(showers)} particles to {path}"
                 for path, showers in (self.train, self.test)]  # fmt: skip
        repeats = np.unique(self.test[1].particle_id, return_counts=True)[1]
        enough = int((repeats >= 2 * SAMPLE).sum())
        return "\n".join([
            *lines,
            f"{enough} of the {len(repeats)} test particles have the {2 * SAMPLE} simulations that a floor needs",
        ])  # fmt: skip


def split_file(path: Path, train: Path, test: Path, *, share: float, seed: int, overwrite: bool = False) -> SplitFiles:
    """Write the showers of `share` of the particles to `test` and the others to `train`.

    All showers of a particle are in the same file, also if they have several ids, see `same_particles`. Rows keep their
    order and their further columns; the attribute `split` of each file describes the split.

    Parameters
    ----------
    share : Share of the particles in the test file, in (0, 1).
    seed : 0 <= seed < 2**53; the same file and seed give the same split.

    Raises
    ------
    ConfigError : a file to write exists and `overwrite` is false, or is the input; a file would be empty.
    FileFormatError : the file cannot be read.
    """
    for output, other in ((train, test), (test, train)):
        check_output(output, path, other)
        if output.exists() and not overwrite:
            raise ConfigError(f"{output} exists; add --overwrite, or name another file")
    showers = read_showers(path)
    showers = Showers(showers.particles, showers.responses, same_particles(showers), showers.calorimeter, showers.extra)
    try:
        kept, held = split_by_particle(showers, share, seed, stream=TEST_STREAM)
    except ConfigError as error:
        raise ConfigError(f"{path}: {str(error).replace('validation_share', 'share').replace('validation', 'test')}"
                          ) from error  # fmt: skip
    with h5py.File(path, "r") as file:
        attributes = file_attributes(file)
    for output, part, name in ((train, kept, "training"), (test, held, "test")):
        output.parent.mkdir(parents=True, exist_ok=True)
        write_part(output, part, {**attributes, "split": f"{name} part of {path.name}, share {share:g}, seed {seed}"})
    return SplitFiles((train, kept), (test, held))


def write_part(path: Path, showers: Showers, attributes: Mapping[str, str | int | float]) -> None:
    """Write some showers of a file with all of its `attributes`."""
    title = str(attributes.get("title", ""))
    others = {name: value for name, value in attributes.items() if name not in ("title", "calorimeter")}
    with ShowerWriter(path, showers.calorimeter, title, others) as writer:
        for start in range(0, len(showers), _BLOCK):
            block = showers[start : start + _BLOCK]
            writer.append(block.particles, block.responses, block.particle_id, block.extra)


def _particles(showers: Showers) -> int:
    return len(np.unique(showers.particle_id))
