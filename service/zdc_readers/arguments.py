"""Particles given on the command line."""

import re
from collections.abc import Iterator

from zdc_common.errors import InvalidInputError
from zdc_detector.particles import Particles

from zdc_readers.blocks import ParticleBlock, ParticleReader


class ArgumentReader(ParticleReader):
    """Reads particles such as ``pdg=2112,pz=1500,px=0.1``, with commas or spaces between the items.

    Parameters
    ----------
    texts : One text per particle. Names and units are those of `Particles.from_columns`; `px` and `py` default to 0.
    """

    def __init__(self, texts: list[str]):
        super().__init__("--particle")
        self._texts = texts
        self.count = len(texts)

    @property
    def progress(self) -> tuple[int, int]:
        """Number of particles read, and in all."""
        return self.read, len(self._within(len(self._texts)))

    def __iter__(self) -> Iterator[ParticleBlock]:
        texts = [self._texts[i] for i in self._within(len(self._texts))]
        self.read = len(texts)
        if texts:
            particles = Particles.concatenate([self._particle(text) for text in texts])
            yield ParticleBlock(particles, {}, lambda row: f"{texts[row]!r}")

    def _particle(self, text: str) -> Particles:
        values = {"px": 0.0, "py": 0.0}
        for item in re.split(r"[,\s]+", text.strip()):
            name, _, value = item.partition("=")
            try:
                values[name] = float(value)
            except ValueError as error:
                raise InvalidInputError(
                    f'--particle {text!r}: {item!r} is not name=number; write --particle "pdg=2112,pz=1500"'
                ) from error
        try:
            return Particles.from_columns({name: [value] for name, value in values.items()})
        except InvalidInputError as error:
            raise InvalidInputError(f"--particle {text!r}: {str(error).removeprefix('particle[0]: ')}") from error
