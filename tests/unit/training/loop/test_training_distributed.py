"""Two processes train as one does: the same loss, the same gradients, the same weights after two epochs."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.models.training_runs import Silent, method_config
from zdc_common.errors import ConfigError
from zdc_training.config.config import override_config
from zdc_training.data.datasets import load_split
from zdc_training.images.learner import ImageLearner
from zdc_training.loop.fit import fit
from zdc_training.loop.steps import Draws, Training
from zdc_training.nn.distributed import gather, processes, rank
from zdc_training.runs.run import Run
from zdc_training.runs.run_lock import LOCK_FILE

pytestmark = pytest.mark.alone

#: Methods whose terms compare the showers of a batch with each other, or normalise over it. Of the discriminator's
#: game only numbers that are drawn the same way can be compared, not Poisson counts.
METHODS = ("e2esae", "cvae", "cwae", "swae", "sae-hypersphere", "cdcgan-round")
#: Those that draw Poisson counts, other ones in every process.
DRAWING = ("fast", "cdcgan")
#: Soon there is no better validation.
PATIENT = ["optimiser.epochs=12", "optimiser.patience=1", "validate_every=1", "optimiser.learning_rate=0.05"]


def test_alone_nothing_is_gathered() -> None:
    rows = torch.ones(2, 3)
    assert (processes(), rank()) == (1, 0)
    assert gather(rows) is rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Showers and the results of two processes."""
    folder = tmp_path_factory.mktemp("two")
    method_config(folder, "e2esae")  # writes the showers before two processes try to
    with socket.socket() as free, socket.socket() as other:
        for each in (free, other):
            each.bind(("127.0.0.1", 0))
        port, later = free.getsockname()[1], other.getsockname()[1]
    command = [sys.executable, __file__, str(folder)]
    started = [
        subprocess.Popen(
            command,
            env=os.environ
            | {"RANK": str(i), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "LATER_PORT": str(later)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    try:
        errors = [process.communicate(timeout=270)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], errors
    return folder


def train(folder: Path, name: str, into: Path) -> Run:
    """Two epochs of a method."""
    run = Run(into / name)
    fit(override_config(method_config(folder, name), ["optimiser.epochs=2"]), run, False, Silent())
    return run


def one_step(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """Terms, gradients and buffers after one step, in double precision."""
    config = override_config(method_config(folder, name), ["optimiser.clip_gradient=1e9"])
    showers, _ = load_split(config.data)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        training = Training.begin(config, showers, torch.device("cpu"))
        learner = training.learner
        assert isinstance(learner, ImageLearner)
        single = learner.batch
        learner.batch = lambda *rows: tuple(tensor.double() for tensor in single(*rows))  # type: ignore[method-assign]
        learner.model.train()
        terms = training.step(np.arange(60), Draws.of_epoch(1, 0, torch.device("cpu")), 1e-3)
    finally:
        torch.set_default_dtype(usual)
    model = learner.model
    found = {name: torch.tensor(value, dtype=torch.float64) for name, value in terms.items()}
    found |= {f"gradient {key}": p.grad for key, p in model.named_parameters() if p.grad is not None}
    return found | {f"buffer {key}": buffer for key, buffer in model.named_buffers()}


@pytest.mark.parametrize("name", METHODS)
def test_loss_and_gradients_do_not_depend_on_the_number_of_processes(folder: Path, name: str) -> None:
    alone, two = one_step(folder, name), torch.load(folder / f"{name}.pt", weights_only=True)
    assert alone.keys() == two.keys()
    for key, value in alone.items():
        assert torch.allclose(value, two[key], rtol=1e-6, atol=1e-9), key


def test_two_processes_write_one_run(folder: Path, tmp_path: Path) -> None:
    alone, two = train(folder, "e2esae", tmp_path), Run(folder / "e2esae")
    records = [[json.loads(line) for line in run.log.read_text().splitlines()] for run in (alone, two)]
    assert [record["epoch"] for record in records[1]] == [1, 2]
    for one, other in zip(*records, strict=True):
        # Single precision, ten steps; the diversity has a threshold, which a rounding may carry a pair across.
        for name, tolerance in (("reconstruction", 0.01), ("sinkhorn", 0.01), ("diversity", 0.05)):
            assert other[f"loss/{name}"] == pytest.approx(one[f"loss/{name}"], rel=tolerance)
    assert records[1][-1]["validation/crps"] == pytest.approx(records[0][-1]["validation/crps"], rel=0.05)


@pytest.mark.parametrize("name", DRAWING)
def test_methods_that_draw_counts_train_too(folder: Path, name: str) -> None:
    records = [json.loads(line) for line in Run(folder / name).log.read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2]
    assert all(np.isfinite(value) for record in records for value in record.values())


def test_all_processes_stop_when_the_first_one_sees_no_better_validation(folder: Path) -> None:
    crps = [record["validation/crps"] for record in Run(folder / "patient").records()]
    assert len(crps) < 12
    assert crps[-1] >= min(crps[:-1])


def test_the_lock_of_the_first_process_keeps_no_other_out(folder: Path) -> None:
    assert [record["epoch"] for record in Run(folder / "late").records()] == [1]


def test_a_batch_that_cannot_be_shared_is_refused(folder: Path) -> None:
    assert (folder / "refusal").read_text().startswith("optimiser.batch_size = 31 cannot be shared by 2 processes")


def main(folder: Path) -> None:
    """The program of each of two processes."""
    from torch.distributed import destroy_process_group, init_process_group

    init_process_group("gloo")
    for name in METHODS:
        found = one_step(folder, name)
        if rank() == 0:
            torch.save(found, folder / f"{name}.pt")
    for name in ("e2esae", *DRAWING):
        train(folder, name, folder)
    patient = override_config(method_config(folder, "e2esae"), PATIENT)
    fit(patient, Run(folder / "patient"), False, Silent())
    try:
        odd = override_config(method_config(folder, "e2esae"), ["optimiser.batch_size=31"])
        fit(odd, Run(folder / "odd"), False, Silent())
    except ConfigError as error:
        (folder / "refusal").write_text(str(error))
    destroy_process_group()
    # As `torchrun` starts them: they join within. The second one comes when the first holds the folder.
    # At another port: at the first one, an early process joins the remains of the former group and waits for ever.
    os.environ["MASTER_PORT"] = os.environ["LATER_PORT"]
    run = Run(folder / "late")
    while rank_of_environment() and not (run.folder / LOCK_FILE).exists():
        time.sleep(0.01)
    fit(override_config(method_config(folder, "e2esae"), ["optimiser.epochs=1"]), run, False, Silent())


def rank_of_environment() -> int:
    return int(os.environ["RANK"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
