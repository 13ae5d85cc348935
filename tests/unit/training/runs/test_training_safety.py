"""Safety of a training: a second one in its folder, damaged files, a full disk, diverging weights."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from helpers.models.training_runs import Silent, method_config, tiny_config, trained
from zdc_common.errors import ConfigError, TrainingError
from zdc_training.config.config import override_config
from zdc_training.loop.fit import fit
from zdc_training.runs.checkpoints import former, load_state
from zdc_training.runs.run import Run

HOLDER = """
import sys
from pathlib import Path
from zdc_training.runs.run_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run, which tests copy."""
    return trained(tmp_path_factory.mktemp("safety"))


def numbers(run: Run) -> bytes:
    """Some weights of a checkpoint, as bytes of the file."""
    weights = load_state(run.checkpoint)["model"]["noise_generator.layers.0.weight"]
    return bytes(weights.numpy().tobytes())


def copied(run: Run, folder: Path) -> Run:
    copy = Run(folder / "copy")
    copy.folder.mkdir()
    for path in (run.config_file, run.log, run.checkpoint, former(run.checkpoint), run.best):
        (copy.folder / path.name).write_bytes(path.read_bytes())
    return copy


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_a_second_training_in_a_folder_is_refused_by_name_and_a_killed_one_blocks_nobody(tmp_path: Path) -> None:
    config, run = tiny_config(tmp_path, optimiser={"epochs": 1, "batch_size": 30}), Run(tmp_path / "run")
    command = [sys.executable, "-c", HOLDER, str(run.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            for resume in (False, True):
                with pytest.raises(ConfigError, match=rf"^process {holder.pid} on .* trains in .*another --run"):
                    fit(config, run, resume, Silent())
            assert not run.config_file.exists()
        finally:
            holder.kill()  # with SIGKILL: nothing is put in order
            holder.wait()
    fit(config, run, False, Silent())
    assert run.checkpoint.exists()
    with pytest.raises(ConfigError, match="already holds a run"):  # and not that this very process trains there
        fit(config, run, False, Silent())


def test_a_flipped_byte_is_seen_or_changes_nothing(run: Run, tmp_path: Path) -> None:
    whole, expected = run.checkpoint.read_bytes(), load_state(run.checkpoint)
    damaged, refused = tmp_path / "checkpoint.pt", 0
    for place in range(0, len(whole), len(whole) // 150):
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
        try:
            found = load_state(damaged)
        except ConfigError:
            refused += 1
        else:
            assert same(found, expected), place
    assert refused > 75


def test_from_the_checkpoint_before_a_damaged_one_the_run_goes_on_to_the_same_weights(run: Run, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    whole = copy.checkpoint.read_bytes()
    place = whole.index(numbers(run)) + 5
    copy.checkpoint.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(ConfigError, match=r"continue from the epoch before: mv \S+-former\.pt \S+\.pt, then --resume$"):
        fit(copy.config(), copy, True, Silent())
    former(copy.checkpoint).replace(copy.checkpoint)
    assert load_state(copy.checkpoint)["epoch"] == 3
    fit(copy.config(), copy, True, Silent())
    assert same(load_state(copy.checkpoint), load_state(run.checkpoint))
    assert [record["epoch"] for record in copy.records()] == [1, 2, 3, 4]


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Let writes above this size fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_at_a_checkpoint_keeps_the_last_epoch_and_says_how_to_go_on(run: Run, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    before = copy.checkpoint.read_bytes()
    longer = override_config(copy.config(), ["optimiser.epochs=5", "validate_every=5"])
    with (
        no_file_above(len(before) // 2),
        pytest.raises(OSError, match=r"too large; .*make room, then continue with --resume: '.*"),
    ):
        fit(longer, copy, True, Silent())
    assert copy.checkpoint.read_bytes() == before
    assert not list(copy.folder.glob("*.part"))
    fit(longer, copy, True, Silent())
    assert load_state(copy.checkpoint)["epoch"] == 5


def test_a_full_disk_in_the_first_epoch_says_that_none_is_kept(run: Run, tmp_path: Path) -> None:
    fresh = Run(tmp_path / "run")
    with (
        no_file_above(run.checkpoint.stat().st_size // 2),
        pytest.raises(OSError, match=r"no epoch is finished yet: make room, then continue with --resume"),
    ):
        fit(run.config(), fresh, False, Silent())
    fit(run.config(), fresh, True, Silent())
    assert fresh.checkpoint.exists()


def test_a_folder_that_cannot_be_made_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(NotADirectoryError, match=r"Not a directory; choose another folder by --run: '.*run'$"):
        fit(run.config(), Run(tmp_path / "file" / "run"), False, Silent())


@pytest.mark.parametrize("content", [b'{"seed": 1, "da', b"\xff\xfe{}", b"[1, 2]", b"null"])
def test_a_damaged_configuration_is_one_line(run: Run, tmp_path: Path, content: bytes) -> None:
    copy = copied(run, tmp_path)
    copy.config_file.write_bytes(content)
    for read in (copy.config, copy.load_model, lambda: fit(run.config(), copy, True, Silent())):
        with pytest.raises(ConfigError, match=r"^\S+config\.json is damaged: [^\n]*; restore it, or train another run"):
            read()


def test_half_a_line_in_the_middle_of_a_log_hinders_nothing(run: Run, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    lines = copy.log.read_text().splitlines()
    copy.log.write_bytes("\n".join([lines[0], lines[1][:40], lines[2]]).encode() + b"\xff\n")
    assert [record["epoch"] for record in copy.records()] == [1]
    copy.log.unlink()
    assert copy.records() == []


@pytest.mark.parametrize(
    ("name", "rate"), [("e2esae", "1e6"), ("cvae", "1e6"), ("fast", "1e20"), ("cdcgan", "1e20"), ("fast", "1e38")]
)
def test_weights_that_run_away_name_the_step_and_the_remedy(tmp_path: Path, name: str, rate: str) -> None:
    config = override_config(method_config(tmp_path, name), [f"optimiser.learning_rate={rate}"])
    with pytest.raises(
        TrainingError, match=r"^epoch 1, step \d: [^\n]*; begin again with --resume and --set optimiser\.learning_ra"
    ):
        fit(config, Run(tmp_path / "run"), False, Silent())
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["optimiser"]["learning_rate"] == float(rate)
