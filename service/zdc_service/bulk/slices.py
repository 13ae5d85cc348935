"""Which parts of a job are whose, where machines share it without talking to each other."""

import re
from dataclasses import dataclass

from zdc_common.errors import ConfigError


@dataclass(frozen=True)
class Slice:
    """A stretch of the parts of a job whose number is known, else every `of`-th; all of them by default.

    Attributes
    ----------
    number : From 1 to `of`.
    of : How many slices there are.
    """

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Slice":
        """From ``K/N``; raises ConfigError where it is none."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise ConfigError(f"--part {text}: must be K/N with 1 <= K <= N: --part 1/8 to --part 8/8 are a whole job")
        return cls(int(found[1]), int(found[2]))

    def stretch(self, parts: int) -> range:
        """Its parts where there are so many in all: one after the other, so that only they need to be read."""
        return range((self.number - 1) * parts // self.of, self.number * parts // self.of)

    def takes(self, part: int) -> bool:
        """Whether it has this part, where nobody knows how many there are."""
        return part % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
