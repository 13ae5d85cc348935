"""Allowed and forbidden ends of a request."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum

from soak_requests import Asked

#: Tolerance for the clocks of both sides, which count milliseconds [s].
_CLOCKS = 0.005


class Outcome(StrEnum):
    """How a request ended, from its caller's view."""

    ANSWERED = "answered"  #: every row is right
    CANCELLED = "cancelled"  #: by the caller
    LATE = "late"  #: the deadline passed
    REFUSED = "refused"  #: the queue was full
    REJECTED = "rejected"  #: a bad particle, as it should be


class ViolationError(Exception):
    """The server violated its contract."""


class Caller(ABC):
    """A client of one protocol, with its own connection.

    Attributes
    ----------
    protocol : Name in the table.
    label : The protocol's name in the server's metrics.
    most_rows : Maximum rows of one request.
    most_requests : Maximum number of requests sent together.
    repeats : Whether the protocol allows several rows per particle.
    """

    protocol: str
    label: str
    most_rows = 2000
    most_requests = 1
    repeats = True

    @abstractmethod
    async def ask(self, asked: Sequence[Asked], seconds: float | None, outcomes: list[Outcome]) -> None:
        """Send requests, check the answers, and append the outcome of each; stops if the task is cancelled.

        Parameters
        ----------
        asked : Requests; a bad one is the last.
        seconds : Deadline of all of them.
        outcomes : Outcomes of the finished requests, in their order.

        Raises
        ------
        ViolationError : an answer is wrong or not allowed.
        """

    @abstractmethod
    async def close(self) -> None:
        """End the connection."""


def check_refusal(asked: Asked, kind: str, message: str, seconds: float | None, began: float) -> Outcome:
    """The outcome of an error, for a request that was sent at `began` (`time.monotonic`).

    Raises
    ------
    ViolationError : the error is not allowed.
    """
    if kind == "deadline" and is_past(seconds, began):
        return Outcome.LATE
    if kind == "overloaded":
        return Outcome.REFUSED
    if kind == "out_of_range" and asked.bad and f"particle[{len(asked.request.particles) - 1}]" in message:
        return Outcome.REJECTED
    raise ViolationError(f"{kind} after {time.monotonic() - began:.3f} s, deadline {seconds}: {message}")


def is_past(seconds: float | None, began: float) -> bool:
    """Whether a deadline of `seconds` after `began` has passed."""
    return seconds is not None and time.monotonic() - began > seconds - _CLOCKS


def check_answer(asked: Asked, wrong: str | None) -> Outcome:
    """The outcome of an answer that `Asked.wrong` has checked; raises ViolationError if it is wrong."""
    if wrong is not None:
        raise ViolationError(f"{asked.rows} rows of {asked.request.output}: {wrong}")
    if asked.bad:
        raise ViolationError("a particle outside the trained range was simulated")
    return Outcome.ANSWERED
