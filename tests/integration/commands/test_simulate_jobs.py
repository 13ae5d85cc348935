"""The templates of deploy/jobs: their syntax, and their commands run with the real `zdc`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from helpers.files.simulate_runs import assert_same_content, run, write_particles
from helpers.models.tiny_model import write_model

ROOT = Path(__file__).parents[3]
JOBS = ROOT / "deploy" / "jobs"
ROWS, SLICES = 1000, 2


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables with which a shell finds ``zdc`` and the tests' model."""
    folder = tmp_path_factory.mktemp("environment")
    write_model(folder / "models")
    command = folder / "zdc"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m zdc_service.cli "$@"\n')
    command.chmod(0o755)
    return os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "ZDC_MODELS": str(folder / "models"),
        "ZDC_CLIENT_ROWS_PER_PART": "60",
    }


@pytest.fixture(scope="module")
def particles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_particles(tmp_path_factory.mktemp("input") / "particles.csv", ROWS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, particles: Path, environment: dict[str, str]) -> Path:
    output = tmp_path_factory.mktemp("alone") / "out.h5"
    assert run("--input", particles, "--output", output, "--seed", 7, "--models", environment["ZDC_MODELS"]) == 0
    return output


def call(command: list[str], environment: dict[str, str], **variables: object) -> int:
    values = environment | {name: str(value) for name, value in variables.items()}
    return subprocess.run(command, env=values, stdout=subprocess.DEVNULL, timeout=120, check=False).returncode


def together(calls: Iterator[tuple[list[str], dict[str, str], dict[str, object]]]) -> list[int]:
    """Run all commands at the same time, as on a cluster."""
    with ThreadPoolExecutor(SLICES) as pool:
        return list(pool.map(lambda each: call(each[0], each[1], **each[2]), calls))


def test_the_shell_scripts_are_sound() -> None:
    scripts = sorted((JOBS / "slurm").iterdir())
    assert [script.name for script in scripts] == ["merge.sbatch", "simulate.sbatch", "submit.sh"]
    for script in scripts:
        subprocess.run(["bash", "-n", script], check=True)
        assert os.access(script, os.X_OK)
    shellcheck = Path(sys.executable).parent / "shellcheck"
    found = subprocess.run([shellcheck, *scripts], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.slow
def test_slurm(tmp_path: Path, environment: dict[str, str], particles: Path, undisturbed: Path) -> None:
    output = tmp_path / "out.h5"
    given = {"INPUT": particles, "OUTPUT": output, "SEED": 7, "SLICES": SLICES}
    simulate, merge = ([str(JOBS / "slurm" / f"{name}.sbatch")] for name in ("simulate", "merge"))
    assert call(merge, environment, **given) == 2
    assert call(simulate, environment, **given, SLURM_ARRAY_TASK_ID=1) == 0
    assert call(merge, environment, **given) == 1
    codes = together((simulate, environment, given | {"SLURM_ARRAY_TASK_ID": i}) for i in range(SLICES))
    assert codes == [0] * SLICES
    assert call(merge, environment, **given) == 0
    assert_same_content(output, undisturbed)
    assert list(tmp_path.iterdir()) == [output]


def macros(text: str, given: dict[str, str]) -> dict[str, str]:
    """The commands of a submit file as HTCondor expands them for one process."""
    values = dict(given)
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            values.setdefault(name.strip(), value.strip())

    def expand(value: str) -> str:
        value = re.sub(r"\$INT\((\w+)\)", lambda found: str(sum(map(int, expand(values[found[1]]).split("+")))), value)
        return re.sub(r"\$\((\w+)\)", lambda found: expand(values[found[1]]), value)

    return {name: expand(value) for name, value in values.items()}


def test_htcondor(tmp_path: Path, environment: dict[str, str], particles: Path, undisturbed: Path) -> None:
    output = tmp_path / "out.h5"
    folder = JOBS / "htcondor"
    dag = (folder / "production.dag").read_text()
    nodes = dict(re.findall(r"^JOB (\w+) (\S+)$", dag, re.MULTILINE))
    assert nodes == {"simulate": "simulate.sub", "merge": "merge.sub"}
    assert "\nPARENT simulate CHILD merge\n" in dag
    given = dict(re.findall(r'(\w+)="([^"]*)"', dag))
    assert given.keys() == {"particles", "responses", "seed", "slices"}
    given |= {"particles": str(particles), "responses": str(output), "slices": str(SLICES)}

    def command(node: str, process: int = 0) -> list[str]:
        values = macros((folder / nodes[node]).read_text(), given | {"Process": str(process)})
        assert values["should_transfer_files"] == "NO"
        return [values["executable"], *values["arguments"].split()]

    assert (folder / "simulate.sub").read_text().endswith("queue $(slices)\n")
    assert together((command("simulate", i), environment, {}) for i in range(SLICES)) == [0] * SLICES
    assert call(command("merge"), environment) == 0
    assert_same_content(output, undisturbed)


def manifest(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((JOBS / "kubernetes" / f"{name}.yaml").read_text())
    return loaded


def kubernetes_job() -> dict[str, Any]:
    """JSON schema of a Job of Kubernetes 1.31, which refuses unknown fields."""
    schema: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "kubernetes_job_1_31.json").read_text())
    return schema


@pytest.mark.slow
def test_kubernetes(tmp_path: Path, environment: dict[str, str], particles: Path, undisturbed: Path) -> None:
    output = tmp_path / "out.h5"
    for name in ("simulate", "merge"):
        jsonschema.validate(manifest(name), kubernetes_job())

    def command(name: str) -> list[str]:
        (container,) = manifest(name)["spec"]["template"]["spec"]["containers"]
        (text,) = container["args"]
        text = text.replace("/data/particles.parquet", str(particles)).replace("/data/responses.h5", str(output))
        return [*container["command"], text.replace("))/8", f"))/{SLICES}")]

    assert manifest("simulate")["spec"]["completions"] == 8
    assert '"$((JOB_COMPLETION_INDEX + 1))/8"' in str(command("simulate")).replace(f"/{SLICES}", "/8")
    codes = together((command("simulate"), environment, {"JOB_COMPLETION_INDEX": i}) for i in range(SLICES))
    assert codes == [0] * SLICES
    assert call(command("merge"), environment) == 0
    assert_same_content(output, undisturbed)


def test_every_template_limits_zdc_to_the_requested_cores() -> None:
    text = (JOBS / "htcondor" / "simulate.sub").read_text()
    assert "\nrequest_cpus = 2\n" in text
    given = dict.fromkeys(("Process", "particles", "responses", "seed", "slices"), "1")
    assert macros(text, given)["environment"] == '"ZDC_THREADS=2"'
    (container,) = manifest("simulate")["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "ZDC_THREADS", "value": container["resources"]["requests"]["cpu"]}]
    text = (JOBS / "slurm" / "simulate.sbatch").read_text()
    assert "#SBATCH --cpus-per-task=2\n" in text
    assert 'export ZDC_THREADS="${SLURM_CPUS_PER_TASK:-2}"\n' in text


@pytest.mark.parametrize("wrong", [{"completions": "eight"}, {"parallel": 3}])
def test_the_checks_find_invalid_manifests(wrong: dict[str, object]) -> None:
    job = manifest("simulate")
    job["spec"] |= wrong
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, kubernetes_job())
