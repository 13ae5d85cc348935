"""Comparison of a file of generated responses with a file of simulated ones: figures, tables and pictures."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import wasserstein_distance
from zdc_common.errors import InvalidInputError
from zdc_common.frozen import Frozen

from zdc_metrics.samples.copies import count_copies
from zdc_metrics.samples.grouping import RepeatedShowers
from zdc_metrics.samples.samples import Compared, Sample, compare, repeated
from zdc_metrics.scores.evaluate import evaluate
from zdc_metrics.scores.groups import groups_of
from zdc_metrics.scores.quantities import Measured, Quantity, measure
from zdc_metrics.scores.report import Figure, Report

Values = NDArray[np.float64]
Numbers = NDArray[np.int64]

#: Minimum number of responses of a group in each sample for histograms.
FEWEST = 20
#: Minimum number of particles for a standard error.
FEWEST_PARTICLES = 5
#: Limit of a significant difference of means, in standard errors.
LIMIT = 2.0


class Moments(Frozen):
    """Mean and spread of one quantity in one sample; None if no response has the quantity."""

    responses: int = Field(description="all, also those without the quantity")
    mean: float | None
    spread: float | None = Field(description="standard deviation")


class Difference(Frozen):
    """One quantity in both samples."""

    quantity: str
    unit: str
    reference: Moments
    generated: Moments
    difference: float | None = Field(description="of the means, generated - reference")
    error: float | None = Field(
        description="standard error of the difference: of particles, whose responses are not independent"
    )
    wasserstein: float | None = Field(description="W1 distance of the two distributions, in the unit")

    @property
    def distance(self) -> float | None:
        """The difference in standard errors; None if undefined."""
        return self.difference / self.error if self.difference is not None and self.error else None


class GroupDifferences(Frozen):
    """Differences for the responses of one species or energy range."""

    name: str
    differences: tuple[Difference, ...]


class ValidationRecord(Frozen):
    """All numbers of a comparison, for JSON.

    Attributes
    ----------
    paired, same_particles, left_out : As in `Compared`.
    copies : Number of generated responses that are equal, in all fibres, to a response of the reference.
    report : Figures with floors; None for the reason `why_no_report`.
    beyond_chance : Names of the figures with a significant deviation at the report's level.
    groups : Means, spreads and distances of all responses, of each species and of each range of energies.
    """

    paired: bool
    same_particles: int
    left_out: tuple[str, ...]
    copies: int
    report: Report | None
    why_no_report: str
    beyond_chance: tuple[str, ...]
    groups: tuple[GroupDifferences, ...]


@dataclass(frozen=True)
class Validation:
    """A comparison of two samples.

    Attributes
    ----------
    reference, generated : The samples as read.
    compared : The compared rows.
    pairs : Repeated responses of the same particles; None if there are too few, for the reason `why_unpaired`.
    report : Figures of the pairs with floors.
    copies : Number of generated responses that are equal, in all fibres, to a response of the reference.
    """

    reference: Sample
    generated: Sample
    compared: Compared
    pairs: tuple[RepeatedShowers, RepeatedShowers] | None
    report: Report | None
    why_unpaired: str
    copies: int

    @property
    def names(self) -> tuple[str, str]:
        """Names of the samples for legends."""
        return self.reference.name, self.generated.name

    @cached_property
    def measured(self) -> tuple[Measured, Measured]:
        """Quantities of the compared rows."""
        return measure(self.compared.reference), measure(self.compared.generated)

    @cached_property
    def groups(self) -> dict[str, tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Rows of both samples: all, by species and by energy; groups with at least `FEWEST` rows in each sample."""
        first, second = (groups_of(sample.particles) for sample in (self.compared.reference, self.compared.generated))
        both = {name: (rows, second[name]) for name, rows in first.items() if name in second}
        return {name: rows for name, rows in both.items() if name == "all" or min(map(len, rows)) >= FEWEST}

    @cached_property
    def differences(self) -> tuple[GroupDifferences, ...]:
        """Differences in all groups."""
        samples = self.compared.reference, self.compared.generated
        return tuple(
            GroupDifferences(
                name=name,
                differences=tuple(
                    _difference(
                        quantity,
                        (self.measured[0][quantity][first], self.measured[1][quantity][second]),
                        (samples[0].particle_id[first], samples[1].particle_id[second]),
                    )
                    for quantity in self.measured[0]
                ),
            )
            for name, (first, second) in self.groups.items()
        )

    @property
    def copies_in_words(self) -> str:
        """A warning about copies."""
        first, second = self.names
        return (
            f"{self.copies} of the {len(self.compared.generated)} responses of {second} are, fibre by fibre, responses "
            f"of {first}: the samples are not independent, and the figures are too good."
        )

    @property
    def beyond_chance(self) -> tuple[str, ...]:
        """Names of the figures of all particles with a significant deviation."""
        figures = self.report.overall.figures if self.report is not None else {}
        return tuple(name for name, figure in figures.items() if is_beyond_chance(figure))

    def record(self) -> ValidationRecord:
        """All numbers."""
        return ValidationRecord(
            paired=self.compared.paired,
            same_particles=self.compared.same_particles,
            left_out=self.compared.left_out,
            copies=self.copies,
            report=self.report,
            why_no_report=self.why_unpaired,
            beyond_chance=self.beyond_chance,
            groups=self.differences,
        )


def validate(
    reference: Sample, generated: Sample, *, reference_file: object, seed: int = 0, resamples: int = 200
) -> Validation:
    """Compare two samples.

    Parameters
    ----------
    reference_file : Name of the reference in messages.
    seed, resamples : As in `evaluate`.

    Raises
    ------
    InvalidInputError : the samples have nothing in common, see `zdc_metrics.samples.samples.compare`.
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
            finish=finish, seed=seed, resamples=resamples, simulation=reference.name,
        )  # fmt: skip
    copies = count_copies(compared.reference.responses, compared.generated.responses)
    return Validation(reference, generated, compared, pairs, report, why, copies)


def is_beyond_chance(figure: Figure) -> bool:
    """Whether a figure deviates significantly from that of an independent simulation, at the level of the intervals.

    That is: a dispersion outside the range of the right one, a ratio to the floor whose interval excludes 1, or, of
    figures without a ratio, an interval that does not overlap with the floor's.
    """
    if figure.value is not None and figure.if_right is not None:
        return not figure.if_right[0] <= figure.value <= figure.if_right[1]
    if figure.ratio_interval is not None:
        return not figure.ratio_interval[0] <= 1 <= figure.ratio_interval[1]
    if figure.interval is None or figure.floor_interval is None:
        return False
    return figure.interval[0] > figure.floor_interval[1] or figure.interval[1] < figure.floor_interval[0]


def difference_error(
    first: Values,
    second: Values,
    first_id: Numbers,
    second_id: Numbers,
) -> float | None:
    """Standard error of the difference of two means of clustered values; each particle is a cluster.

    A particle counts with all its values of both samples together (cluster-robust: Cameron and Miller 2015), so that
    the common effect of the choice of particles cancels. None for fewer than `FEWEST_PARTICLES`.

    Parameters
    ----------
    first, second : Values, shapes (N,) and (M,), all finite.
    first_id, second_id : Number of the particle of each value, >= 0, in one numbering for both samples.
    """
    particles = np.union1d(first_id, second_id)
    if len(particles) < FEWEST_PARTICLES or not (len(first) and len(second)):
        return None
    shares = [
        np.bincount(np.searchsorted(particles, ids), (values - values.mean()) / len(values), len(particles))
        for values, ids in ((first, first_id), (second, second_id))
    ]
    total = float(np.sum((shares[1] - shares[0]) ** 2))
    return float(np.sqrt(total * len(particles) / (len(particles) - 1)))


def _difference(quantity: Quantity, values: tuple[Values, Values], ids: tuple[Numbers, Numbers]) -> Difference:
    first, second = (some[np.isfinite(some)] for some in values)
    first_id, second_id = (number[np.isfinite(some)] for some, number in zip(values, ids, strict=True))
    both = bool(len(first) and len(second))
    reference, generated = (
        Moments(
            responses=len(some),
            mean=float(known.mean()) if len(known) else None,
            spread=float(known.std()) if len(known) else None,
        )
        for some, known in zip(values, (first, second), strict=True)
    )
    return Difference(
        quantity=quantity.name,
        unit=quantity.unit,
        reference=reference,
        generated=generated,
        difference=float(second.mean() - first.mean()) if both else None,
        error=difference_error(first, second, first_id, second_id),
        wasserstein=float(wasserstein_distance(first, second)) if both else None,
    )
