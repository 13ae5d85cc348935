"""Histograms of two samples in the same bins, and their ratio."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zdc_metrics.scores.quantities import Quantity

Values = NDArray[np.float64]

_FEWEST, _MOST = 6, 24
#: Expected number of entries from which an empty bin of the reference is significant: exp(-3) = 5 %.
MISSED = 3.0
#: Share of the values beyond either end of the bins of a quantity that scatters around a centre.
_TAIL = 0.005


@dataclass(frozen=True)
class Histogram:
    """Counts of one sample.

    Attributes
    ----------
    edges : Ascending, shape (B + 1,).
    counts : Shape (B,).
    below, above : Values under the first and from the last edge on.
    missing : Number of undefined values, such as the centroid of an empty response.
    """

    edges: Values
    counts: NDArray[np.int64]
    below: int
    above: int
    missing: int

    @classmethod
    def of(cls, values: Values, edges: Values) -> "Histogram":
        """Count; the last bin includes its upper edge, as in numpy."""
        known = values[np.isfinite(values)]
        counts = np.histogram(known, edges)[0].astype(np.int64)
        below, above = int(np.sum(known < edges[0])), int(np.sum(known > edges[-1]))
        return cls(edges, counts, below, above, len(values) - len(known))

    @property
    def total(self) -> int:
        """Number of all values, inside and outside the bins."""
        return int(self.counts.sum()) + self.below + self.above + self.missing

    @property
    def shares(self) -> Values:
        """Counts as shares of the total."""
        shares: Values = self.counts / max(self.total, 1)
        return shares

    @property
    def errors(self) -> Values:
        """Poisson errors of the shares: sqrt(count) / total."""
        errors: Values = np.sqrt(self.counts) / max(self.total, 1)
        return errors


@dataclass(frozen=True)
class Ratio:
    """Generated over reference, in bins with reference entries; nan elsewhere, except for `MISSED`.

    Attributes
    ----------
    values : Shape (B,); infinite if the reference has no entry although the generated share makes `MISSED` likely.
    errors : Errors from the generated counts alone; an empty bin has the error of one count.
    band : Relative error of the reference.
    """

    values: Values
    errors: Values
    band: Values


def ratio(reference: Histogram, generated: Histogram) -> Ratio:
    """Ratio of the shares."""
    with np.errstate(divide="ignore", invalid="ignore"):
        missed = (reference.counts == 0) & (generated.shares * reference.total >= MISSED)
        shares = np.where(reference.counts > 0, reference.shares, np.where(missed, 0, np.nan))
        one = np.sqrt(np.maximum(generated.counts, 1)) / max(generated.total, 1)
        return Ratio(generated.shares / shares, one / shares, reference.errors / shares)


def common_edges(quantity: Quantity, *samples: Values) -> Values | None:
    """Bins for all samples: more bins for more values; None if there are no values.

    Counts get whole edges in steps of the logarithm, from the smallest above 0: empty responses are below it.
    Energies cover their range. Lengths cover all but the outermost tails, in round steps.
    """
    known = [values[np.isfinite(values)] for values in samples]
    if quantity.kind == "counts":
        known = [values[values > 0] for values in known]
    if not any(len(values) for values in known):
        return None
    known = [values for values in known if len(values)]
    bins = int(np.clip(2 * min(len(values) for values in known) ** 0.4, _FEWEST, _MOST))
    low, high = min(values.min() for values in known), max(values.max() for values in known)
    if quantity.kind == "counts":
        return np.unique(np.rint(np.geomspace(max(low, 1), max(high, low + 1) + 1, bins + 1)))
    if quantity.kind == "energies":
        return np.geomspace(low * (1 - 1e-6), high * (1 + 1e-6), bins + 1)
    low = min(float(np.quantile(values, _TAIL)) for values in known)
    high = max(float(np.quantile(values, 1 - _TAIL)) for values in known)
    step = _round_step(max(high - low, 1e-6) / bins)
    first, last = np.floor(low / step), np.ceil(high / step)
    return np.arange(first, max(last, first + 1) + 0.5) * step


def _round_step(step: float) -> float:
    """The next 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(step))
    return float(next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= step * (1 - 1e-9)))
