"""Outcomes of all requests by protocol, compared with the server's counts."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from soak_outcomes import Outcome
from soak_requests import Asked
from soak_server import Counters

#: Allowed kinds of `zdc_requests_total`.
_KINDS = frozenset(("ok", "cancelled", "deadline", "overloaded", "out_of_range"))


@dataclass
class Counts:
    """Requests of one protocol.

    Attributes
    ----------
    label : The protocol's name in the server's metrics.
    rows : Number of rows that were answered and checked.
    violations : Descriptions of errors.
    """

    label: str
    asked: int = 0
    rows: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Requests."""
        return self.outcomes[Outcome.ANSWERED]

    def add(self, asked: list[Asked], outcomes: list[Outcome], violation: str | None) -> None:
        """Add requests that were sent together; those without an outcome share the violation."""
        self.asked += len(asked)
        self.outcomes.update(outcomes)
        ended = zip(asked, outcomes, strict=False)
        self.rows += sum(one.rows for one, outcome in ended if outcome is Outcome.ANSWERED)
        if violation is not None:
            self.violations.append(violation)

    def check(self) -> None:
        """Add a violation unless sent = answered + cancelled + late + refused + rejected."""
        if self.outcomes.total() != self.asked and not self.violations:
            self.violations.append(f"{self.asked} requests were sent, and {self.outcomes.total()} ended")


def server_violations(counts: Iterable[Counts], counters: Counters) -> list[str]:
    """Contradictions between the server's counts and the clients', or a server that is not idle.

    The server may have answered a request that its client cancelled, or may not have received it. It counts a request
    as cancelled if the client disconnects just after the last byte.
    """
    found = []
    asked: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for one in counts:
        asked[one.label] += one.asked
        answered[one.label] += one.answered
    for label in asked:
        kinds = counters.kinds(label)
        sent = kinds.get("ok", 0) + kinds.get("cancelled", 0)
        if not answered[label] <= sent or not sum(kinds.values()) <= asked[label]:
            found.append(f"{label}: {answered[label]} of {asked[label]} answered; the server counted {dict(kinds)}")
        if strange := kinds.keys() - _KINDS:
            found.append(f"{label}: the server counted {sorted(strange)}")
    succeeded, failed = counters.models
    if not answered.total() <= succeeded or not succeeded + failed <= asked.total():
        found.append(f"{answered.total()} of {asked.total()} answered; the models counted {succeeded:g} and {failed:g}")
    if counters.waiting != (0, 0):
        found.append("{:g} rows and {:g} requests wait when all clients are gone".format(*counters.waiting))
    return found
