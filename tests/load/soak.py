"""Many clients at once, over all protocols, with random sizes, deadlines and cancellations: every row is checked.

Each client repeatedly requests parts of jobs that were computed in this process. Seeds and row numbers determine the
rows, so the answers must be equal. A request must be answered with its own rows, or be late, refused or rejected if
that is correct. Anything else is a violation, also growing memory of the server: the command then fails.
"""

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from itertools import islice

import numpy as np
import uvloop
from commands import chosen_model, common_parser, facts, markdown, one_line_errors, settings_of
from server_process import Served, running_server
from soak_counts import Counts, server_violations
from soak_grpc import InferenceGrpcCaller, StreamCaller, UnaryCaller
from soak_http import BinaryCaller, InferenceHttpCaller, JsonCaller
from soak_outcomes import Caller, Outcome, ViolationError
from soak_requests import Pool
from soak_server import Memory, counters_when_idle

#: Limits of the server: rows of a request and of the queue, so small that the queue is sometimes full.
_REQUEST_ROWS, _QUEUE_ROWS = 2048, 8192
#: A request without an answer after this long is lost.
_LOST_SECONDS = 90.0
#: Shares of requests with a deadline and of cancelled requests; range of the times [s], log-uniform.
_DEADLINES, _DEADLINE_SECONDS = 0.75, (1e-3, 10.0)
_CANCELLATIONS, _CANCEL_SECONDS = 0.15, (3e-4, 2.0)
#: How long a client waits after a refusal [s], at most.
_PAUSE_SECONDS = 0.2
_SHOWN = 10

_CALLERS: tuple[Callable[[Served, np.random.Generator], Caller], ...] = (
    lambda served, rng: BinaryCaller(served.http, rng),
    lambda served, rng: JsonCaller(served.http, rng),
    lambda served, rng: InferenceHttpCaller(served.http, rng),
    lambda served, _: UnaryCaller(served.grpc),
    lambda served, _: StreamCaller(served.grpc),
    lambda served, _: InferenceGrpcCaller(served.grpc),
)


async def _client(caller: Caller, pool: Pool, rng: np.random.Generator, end: float, counts: Counts) -> None:
    while time.monotonic() < end:
        number = int(rng.integers(1, caller.most_requests + 1))
        asked = [pool.draw(rng, caller.most_rows, caller.repeats, place == number - 1) for place in range(number)]
        deadline = _log_uniform(rng, *_DEADLINE_SECONDS) if rng.random() < _DEADLINES else None
        cancel = _log_uniform(rng, *_CANCEL_SECONDS) if rng.random() < _CANCELLATIONS else None
        outcomes: list[Outcome] = []
        violation = None
        try:
            async with asyncio.timeout(_LOST_SECONDS if cancel is None else cancel):
                await caller.ask(asked, deadline, outcomes)
        except TimeoutError:
            if cancel is None:
                violation = f"no answer within {_LOST_SECONDS:g} s"
            else:
                outcomes += [Outcome.CANCELLED] * (number - len(outcomes))
        except Exception as error:
            violation = str(error) if isinstance(error, ViolationError) else repr(error)
        counts.add(asked, outcomes, violation)
        if Outcome.REFUSED in outcomes:
            await asyncio.sleep(_PAUSE_SECONDS * rng.random())
    await caller.close()


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


async def _soak(served: Served, pool: Pool, options: Namespace) -> tuple[dict[str, Counts], list[str], list[str]]:
    """Counts by protocol, violations outside the protocols, and lines of a summary."""
    memory, counts = Memory(served.pid, options.warm_up), dict[str, Counts]()
    watching = asyncio.create_task(memory.watch())
    began = time.monotonic()
    clients = []
    for number in range(options.clients):
        rng = np.random.default_rng([options.seed, number])
        caller = _CALLERS[number % len(_CALLERS)](served, rng)
        one = counts.setdefault(caller.protocol, Counts(caller.label))
        clients.append(_client(caller, pool, rng, began + options.warm_up + options.seconds, one))
    await asyncio.gather(*clients)
    seconds = time.monotonic() - began
    counters = await counters_when_idle(served.http)
    watching.cancel()
    for one in counts.values():
        one.check()
    violations = server_violations(counts.values(), counters)
    if not memory.flat:
        violations.append("the server's memory grew")
    lines = [
        f"{options.clients} clients for {seconds:.1f} s, seed {options.seed}",
        "after that zdc_queue_rows is {:g} and nv_inference_pending_request_count {:g}; the models counted {:g} "
        "successes and {:g} failures".format(*counters.waiting, *counters.models),
        str(memory),
    ]
    return counts, violations, lines


def _table(counts: dict[str, Counts]) -> list[str]:
    head = ["protocol", "asked", *Outcome, "rows checked", "violations"]
    rows = [
        [name, *map(str, (one.asked, *(one.outcomes[outcome] for outcome in Outcome), one.rows, len(one.violations)))]
        for name, one in counts.items()
    ]
    sums = [str(sum(int(row[i]) for row in rows)) for i in range(1, len(head))]
    return markdown(head, [*rows, ["all", *sums]], text_columns=1)


def main() -> None:
    """Run the command."""
    parser = common_parser(__doc__)
    parser.add_argument("--clients", type=int, default=256, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=60.0, help="default: %(default)s")
    parser.add_argument(
        "--warm-up", type=float, default=60.0, help="duration before the measurement of memory; default: %(default)s"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the requests; default: %(default)s")
    parser.add_argument("--mixed-up", type=float, default=0.0, help="share of requests that expect wrong rows")
    options = parser.parse_args()
    with one_line_errors(parser, options.device):
        settings = settings_of(options)
        print("\n".join(facts(*chosen_model(settings))), flush=True)
        pool = Pool(settings, options.seed, options.mixed_up)
        limits = {"max_request_rows": _REQUEST_ROWS, "max_queue_rows": _QUEUE_ROWS}
        with running_server(settings.model_copy(update=limits)) as served:
            counts, violations, lines = uvloop.run(_soak(served, pool, options))
            if served.tree.ended():
                violations.append("the server ended")
        print("\n".join([*lines, "", *_table(counts)]))
        of_protocols = (f"{name}: {text}" for name, one in counts.items() for text in one.violations)
        for text in [*violations, *islice(of_protocols, _SHOWN)]:
            print(f"violation: {text}")
        if violations or any(one.violations for one in counts.values()):
            sys.exit(1)


if __name__ == "__main__":
    main()
