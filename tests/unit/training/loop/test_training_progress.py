"""Output of `train-zdc fit` without a terminal, and after Ctrl-C."""

import signal
import time

import pytest
from zdc_training.loop.progress import ProgressReporter

TERMS = {"reconstruction": 2.0, "diversity": 0.0}


def test_one_line_an_epoch_and_a_second_for_its_validation(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with ProgressReporter(epochs=200) as reporter:
        # A resumed run: 100 epochs were done before, two take 30 s each.
        for epoch, more in ((101, {}), (102, {"validation/crps": 7.25})):
            for step in (1, 2):
                reporter.step(epoch, step, 2, TERMS)
            now += 30
            reporter.epoch(
                {"epoch": epoch, "loss/reconstruction": 2.0, "seconds": 30.0, "steps_per_second": 0.0667, **more}
            )
    assert capsys.readouterr().err.splitlines() == [
        "epoch 101/200  30.0 s  0.0667 steps/s  ETA 0:49:30  reconstruction 2",
        "epoch 102/200  30.0 s  0.0667 steps/s  ETA 0:49:00  reconstruction 2",
        "  validation: crps 7.25",
    ]


def test_ctrl_c_waits_for_the_end_of_a_step_and_a_second_does_not() -> None:
    with ProgressReporter(epochs=2) as reporter:
        reporter.step(1, 1, 2, TERMS)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            reporter.step(1, 2, 2, TERMS)
    with ProgressReporter(epochs=2):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
