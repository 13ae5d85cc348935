"""Is a file of generated responses like a file of simulated ones? Figures, tables and pictures of one comparison."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import wasserstein_distance
from zdc_detector.errors import InvalidInputError

from zdc_metrics.evaluate import evaluate
from zdc_metrics.grouping import RepeatedShowers
from zdc_metrics.groups import groups_of
from zdc_metrics.quantities import Measured, Quantity, measure
from zdc_metrics.report import Report
from zdc_metrics.samples import Compared, Sample, compare, repeated

#: Groups with fewer responses in a sample get no histograms.
FEWEST = 20


class Moments(BaseModel):
    """Of one quantity in one sample; None where no response has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    responses: int = Field(description="all, also those without the quantity")
    mean: float | None
    spread: float | None = Field(description="standard deviation")


class Difference(BaseModel):
    """One quantity in both samples."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantity: str
    unit: str
    reference: Moments
    generated: Moments
    wasserstein: float | None = Field(description="W1 distance of the two distributions, in the unit")


class GroupDifferences(BaseModel):
    """Of the responses of one species or range of energies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    differences: tuple[Difference, ...]


class ValidationRecord(BaseModel):
    """All numbers of a comparison, as JSON holds them.

    Attributes
    ----------
    paired, same_particles, left_out : As in `Compared`.
    report : Figures with floors; None for the reason `why_no_report`.
    groups : Means, spreads and distances of all responses, of each species and of each range of energies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    paired: bool
    same_particles: int
    left_out: tuple[str, ...]
    report: Report | None
    why_no_report: str
    groups: tuple[GroupDifferences, ...]


@dataclass(frozen=True)
class Validation:
    """A comparison of two samples.

    Attributes
    ----------
    reference, generated : As they were read.
    compared : The rows that are compared.
    pairs : Repeated responses of the same particles, where there are enough; else None, for the reason `why_unpaired`.
    report : Their figures with floors.
    """

    reference: Sample
    generated: Sample
    compared: Compared
    pairs: tuple[RepeatedShowers, RepeatedShowers] | None
    report: Report | None
    why_unpaired: str

    @property
    def names(self) -> tuple[str, str]:
        """Of the samples, in legends."""
        return self.reference.name, self.generated.name

    @cached_property
    def measured(self) -> tuple[Measured, Measured]:
        """Quantities of the compared rows."""
        return measure(self.compared.reference), measure(self.compared.generated)

    @cached_property
    def groups(self) -> dict[str, tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Rows of both samples: all, by species and by energy; those of which each sample has `FEWEST`."""
        first, second = (groups_of(sample.particles) for sample in (self.compared.reference, self.compared.generated))
        both = {name: (rows, second[name]) for name, rows in first.items() if name in second}
        return {name: rows for name, rows in both.items() if name == "all" or min(map(len, rows)) >= FEWEST}

    @cached_property
    def differences(self) -> tuple[GroupDifferences, ...]:
        """Of all groups."""
        return tuple(
            GroupDifferences(
                name=name,
                differences=tuple(
                    _difference(quantity, self.measured[0][quantity][first], self.measured[1][quantity][second])
                    for quantity in self.measured[0]
                ),
            )
            for name, (first, second) in self.groups.items()
        )

    def record(self) -> ValidationRecord:
        """All numbers."""
        return ValidationRecord(
            paired=self.compared.paired,
            same_particles=self.compared.same_particles,
            left_out=self.compared.left_out,
            report=self.report,
            why_no_report=self.why_unpaired,
            groups=self.differences,
        )


def validate(
    reference: Sample, generated: Sample, *, reference_file: object, seed: int = 0, resamples: int = 200
) -> Validation:
    """Compare two samples.

    Parameters
    ----------
    reference_file : As remedies name it.
    seed, resamples : As `evaluate`.

    Raises
    ------
    InvalidInputError : the samples have nothing in common, see `zdc_metrics.samples.compare`.
    """
    compared = compare(reference.showers, generated.showers)
    pairs, report, why = None, None, ""
    try:
        pairs = repeated(compared, reference_file)
    except InvalidInputError as error:
        why = str(error)
    else:
        simulated, made = pairs
        finish = str(generated.attributes.get("finish", "not recorded"))
        report = evaluate(
            simulated.responses, made.responses, simulated.particles, simulated.calorimeter,
            finish=finish, seed=seed, resamples=resamples,
        )  # fmt: skip
    return Validation(reference, generated, compared, pairs, report, why)


def _difference(quantity: Quantity, first: NDArray[np.float64], second: NDArray[np.float64]) -> Difference:
    known = [values[np.isfinite(values)] for values in (first, second)]
    distance = float(wasserstein_distance(*known)) if all(len(values) for values in known) else None
    reference, generated = (
        Moments(
            responses=len(values),
            mean=float(some.mean()) if len(some) else None,
            spread=float(some.std()) if len(some) else None,
        )
        for values, some in zip((first, second), known, strict=True)
    )
    return Difference(
        quantity=quantity.name, unit=quantity.unit, reference=reference, generated=generated, wasserstein=distance
    )
