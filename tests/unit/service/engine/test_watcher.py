"""The watcher calls until it is stopped, even if the calls fail."""

import threading
import time
from collections.abc import Callable

import pytest
from helpers.waiting import PATIENCE, wait_until
from zdc_common.errors import ModelError
from zdc_service.engine.watcher import Watcher


class Looks:
    """Counts the calls, and runs a given function in each."""

    def __init__(self, do: Callable[[int], None]):
        self._do = do
        self.done = 0

    def __call__(self) -> None:
        try:
            self._do(self.done)
        finally:
            self.done += 1

    def wait(self, calls: int) -> None:
        wait_until(lambda: self.done >= calls)


def test_it_calls_until_it_is_stopped() -> None:
    looks = Looks(lambda _: None)
    watcher = Watcher(looks, 0.001, "looks")
    looks.wait(5)
    watcher.stop()
    calls = looks.done
    time.sleep(0.05)
    assert looks.done == calls


def test_stopping_interrupts_the_wait_and_not_a_call() -> None:
    began, go_on = threading.Event(), threading.Event()

    def do(_: int) -> None:
        began.set()
        assert go_on.wait(PATIENCE)

    looks = Looks(do)
    Watcher(looks, 3600, "patient").stop()  # returns
    watcher = Watcher(looks, 0.001, "busy")
    assert began.wait(PATIENCE)
    threading.Timer(0.05, go_on.set).start()
    watcher.stop()
    assert looks.done == 1


def test_a_call_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("zdc_service.engine.watcher._PATIENCE_SECONDS", 0.05)
    began, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        began.set()
        assert go_on.wait(PATIENCE)

    watcher = Watcher(hang, 0.001, "models")
    assert began.wait(PATIENCE)
    watcher.stop()  # returns
    assert "models: a check takes more than 0.05 s" in caplog.text
    go_on.set()


def test_an_error_is_logged_once_and_again_after_a_success(caplog: pytest.LogCaptureFixture) -> None:
    def do(number: int) -> None:
        if number != 5:
            raise ModelError("the folder is gone")

    looks = Looks(do)
    watcher = Watcher(looks, 0.001, "models")
    looks.wait(12)
    watcher.stop()
    assert [record.getMessage() for record in caplog.records] == ["models: the folder is gone"] * 2


def test_unexpected_errors_are_logged_and_the_calls_continue(caplog: pytest.LogCaptureFixture) -> None:
    def do(number: int) -> None:
        if number == 0:
            raise RuntimeError("surprise")

    looks = Looks(do)
    watcher = Watcher(looks, 0.001, "models")
    looks.wait(3)
    watcher.stop()
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "surprise" in caplog.text
