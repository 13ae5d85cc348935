"""How a request may end, and how it must not."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum

from soak_requests import Asked

#: What a clock of milliseconds on either side may be off [s].
_CLOCKS = 0.005


class Outcome(StrEnum):
    """How a request ended, from its caller's view."""

    ANSWERED = "answered"  #: every row is right
    CANCELLED = "cancelled"  #: by the caller
    LATE = "late"  #: the deadline passed
    REFUSED = "refused"  #: the queue was full
    REJECTED = "rejected"  #: a bad particle, as it should be


class ViolationError(Exception):
    """A promise was broken."""


class Caller(ABC):
    """A client of one protocol, with a connection of its own.

    Attributes
    ----------
    protocol : As in the table.
    label : The protocol's name in the server's metrics.
    most_rows : Of one request.
    most_requests : That are asked at once.
    repeats : Whether the protocol has more than one row of a particle.
    """

    protocol: str
    label: str
    most_rows = 2000
    most_requests = 1
    repeats = True

    @abstractmethod
    async def ask(self, asked: Sequence[Asked], seconds: float | None, outcomes: list[Outcome]) -> None:
        """Ask, check the answers, and append what became of each; stops where it is cancelled.

        Parameters
        ----------
        asked : Requests; a bad one is the last.
        seconds : Deadline of all of them.
        outcomes : Of those that have ended, in their order.

        Raises
        ------
        ViolationError : an answer is wrong, or none that may be.
        """

    @abstractmethod
    async def close(self) -> None:
        """End the connection."""


def check_refusal(asked: Asked, kind: str, message: str, seconds: float | None, began: float) -> Outcome:
    """What an error means to the caller who asked at `began` on the clock of `time.monotonic`.

    Raises
    ------
    ViolationError : it should not have happened.
    """
    if kind == "deadline" and is_past(seconds, began):
        return Outcome.LATE
    if kind == "overloaded":
        return Outcome.REFUSED
    if kind == "out_of_range" and asked.bad and f"particle[{len(asked.request.particles) - 1}]" in message:
        return Outcome.REJECTED
    raise ViolationError(f"{kind} after {time.monotonic() - began:.3f} s, deadline {seconds}: {message}")


def is_past(seconds: float | None, began: float) -> bool:
    """Whether a deadline of so many seconds has passed since `began`."""
    return seconds is not None and time.monotonic() - began > seconds - _CLOCKS


def check_answer(asked: Asked, wrong: str | None) -> Outcome:
    """The outcome of an answer that `Asked.wrong` has looked at; raises ViolationError."""
    if wrong is not None:
        raise ViolationError(f"{asked.rows} rows of {asked.request.output}: {wrong}")
    if asked.bad:
        raise ViolationError("a particle outside the trained range was simulated")
    return Outcome.ANSWERED
