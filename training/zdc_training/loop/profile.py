"""Profile of one training epoch (`train-zdc profile`)."""

import time
from collections.abc import Iterable

import torch
from torch.autograd.profiler_util import FunctionEventAvg
from torch.profiler import ProfilerActivity, profile

from zdc_training.config.sections import Experiment
from zdc_training.data.datasets import load_split
from zdc_training.evaluation.validation import validate
from zdc_training.loop.fit import check_settings, open_device
from zdc_training.loop.steps import Draws, Training

_WARM_UP = 2
_OPERATORS = 12
#: Prefixes of the `record_function` labels in the code, in order; "within" labels are parts of the forward pass.
_STAGES = ("step: ", "within: ")


def profile_training(config: Experiment, device: str = "cpu", steps: int = 10) -> str:
    """Markdown tables: time of a step and of an epoch, share of each stage of a step, most expensive operators.

    Times are measured without the profiler, which slows small operators down; shares are from profiled steps. No file
    is written.

    Raises
    ------
    ConfigError : see `zdc_training.loop.fit.fit`.
    """
    place = open_device(device)
    showers, validation = load_split(config.data)
    check_settings(config, len(showers), place)
    size = config.optimiser.batch_size
    batches = len(showers) // size
    training = Training.begin(config, showers, place)
    training.learner.model.train()
    draws = Draws.of_epoch(config.seed, 0, place)
    order = draws.rng.permutation(len(showers))

    def run(count: int) -> float:
        started = time.perf_counter()
        for step in range(count):
            first = step % batches * size
            training.step(order[first : first + size], draws, config.optimiser.learning_rate / 10)
        _finish(place)
        return (time.perf_counter() - started) / count

    run(_WARM_UP)
    seconds = run(steps)
    cuda = [ProfilerActivity.CUDA] if place.type == "cuda" else []
    with profile(activities=[ProfilerActivity.CPU, *cuda], acc_events=True) as recorded:
        run(steps)
    started = time.perf_counter()
    validate(training.kept, training.learner, validation, config)
    validating = time.perf_counter() - started
    per_epoch = seconds * batches + validating / config.validate_every
    return "\n".join(
        [
            f"{device}, {torch.get_num_threads()} threads: {seconds * 1e3:.4g} ms a step, {1 / seconds:.3g} steps/s; "
            f"{batches} steps an epoch, one validation {validating:.3g} s, so {per_epoch:.3g} s an epoch",
            "",
            *_tables(recorded.key_averages()),
        ]
    )


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _tables(events: Iterable[FunctionEventAvg]) -> list[str]:
    """Tables of the shares of stages and operators in the time of all steps."""
    found = list(events)
    stages = {str(event.key): event.cpu_time_total for event in found if str(event.key).startswith(_STAGES)}
    whole = sum(stages[name] for name in stages if name.startswith(_STAGES[0]))
    operators = {
        str(event.key): max(event.self_cpu_time_total, event.self_device_time_total)
        for event in found
        if not str(event.key).startswith(_STAGES)
    }
    work = sum(operators.values())
    most = sorted(operators, key=lambda key: -operators[key])[:_OPERATORS]
    return [
        "| stage | share of a step |",
        "| --- | --- |",
        *(f"| {name} | {spent / whole:.1%} |" for name, spent in stages.items()),
        "",
        "| operator | share of the work |",
        "| --- | --- |",
        *(f"| {name} | {operators[name] / work:.1%} |" for name in most),
    ]
