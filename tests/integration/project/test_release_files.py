"""Publication and checks of the project: workflows, hooks, lower bounds of dependencies."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from lowest_versions import lowest_versions

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BIN = Path(sys.executable).parent


def loaded(path: Path) -> dict[Any, Any]:
    content = yaml.safe_load(path.read_text())
    assert isinstance(content, dict)
    return content


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", ())]


def test_workflows_are_valid_and_safe() -> None:
    """Zizmor reads them as GitHub does, and refuses actions without a commit, wide permissions and injected text."""
    command = [str(BIN / "zizmor"), "--offline", "--quiet", str(ROOT / ".github")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not installed")
def test_actionlint_finds_nothing() -> None:
    done = subprocess.run(["actionlint"], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_what_there_is(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [step["run"] for step in steps(loaded(path)) if "run" in step]
    assert commands
    for command in commands:
        program, *arguments = command.split()
        known = {"make": set(arguments) <= targets, "bash": (ROOT / arguments[0]).is_file()}
        assert known[program], command


def test_the_tests_run_on_the_versions_of_python_that_the_package_names() -> None:
    matrix = loaded(ROOT / ".github/workflows/tests.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [text.rpartition(" ")[2] for text in project["classifiers"] if re.search(r":: 3\.\d+$", text)]
    assert matrix == named
    assert project["requires-python"] == f">={matrix[0]}"


def test_the_hooks_are_the_checks_of_make_check_and_of_the_workflows() -> None:
    (repository,) = loaded(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"  # nothing is downloaded
    programs = [hook["entry"].split()[0].rpartition("/")[2] for hook in repository["hooks"]]
    assert programs == ["ruff", "ruff", "mypy", "lint-imports", "zizmor"]
    command = [str(BIN / "pre-commit"), "validate-config"]
    subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=ROOT)


def test_every_dependency_has_one_lower_bound() -> None:
    lowest = lowest_versions()
    assert lowest["numpy"] == "1.26"
    assert {"torch", "pyarrow", "distributed", "pytest"} <= set(lowest)


@pytest.mark.parametrize(
    ("more", "said"),
    [('"rich"', "'rich' has no lower bound; give it one"), ('"numpy>=2,<3"', "numpy has the lower bounds 1.26 and 2;")],
)
def test_an_invalid_bound_is_refused(tmp_path: Path, more: str, said: str) -> None:
    project = tmp_path / "pyproject.toml"
    text = f'[project]\ndependencies = ["numpy>=1.26,<3"]\n[project.optional-dependencies]\nmore = [{more}]\n'
    project.write_text(text)
    with pytest.raises(ValueError, match=re.escape(said)):
        lowest_versions(project)


@pytest.mark.parametrize(
    ("tag", "citation", "changelog", "said"),
    [
        ("v0.2.0", "version: 0.2.0\n", "## [0.2.0] - 2026-12-01\n", "release 0.2.0"),
        ("v0.2.0", "version: 0.1.0\n", "## [0.2.0]\n", "CITATION.cff: version is not 0.2.0"),
        ("v0.2.0", "version: 0.2.0\n", "## [Unreleased]\n", "CHANGELOG.md: no section [0.2.0]"),
    ],
)
def test_a_release_has_one_version(tmp_path: Path, tag: str, citation: str, changelog: str, said: str) -> None:
    (tmp_path / "CITATION.cff").write_text(citation)
    (tmp_path / "CHANGELOG.md").write_text(changelog)
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Files"], ["tag", "-a", tag, "-m", tag]):
        subprocess.run(["git", *identity, *command], check=True, cwd=tmp_path, timeout=60)
    command = ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), "release-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)
    assert said in done.stdout + done.stderr
    assert (done.returncode == 0) == said.startswith("release")
