"""Divide the parts of a job among machines that do not communicate with each other."""

import re
from dataclasses import dataclass

from zdc_common.errors import ConfigError


@dataclass(frozen=True)
class Slice:
    """Some parts of a job: a range of them if their number is known, otherwise every `of`-th; by default, all parts.

    Attributes
    ----------
    number : Number of the slice, from 1 to `of`.
    of : Number of slices.
    """

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> "Slice":
        """Parse ``K/N``; raises ConfigError if the text has another form."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise ConfigError(f"--part {text} must be K/N with 1 <= K <= N, e.g. --part 1/8 to --part 8/8 for a job")
        return cls(int(found[1]), int(found[2]))

    def stretch(self, parts: int) -> range:
        """The slice's range of the job's parts; consecutive, so that only their particles need to be read."""
        return range((self.number - 1) * parts // self.of, self.number * parts // self.of)

    def takes(self, part: int) -> bool:
        """Whether the slice has this part, if the number of parts is unknown."""
        return part % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
