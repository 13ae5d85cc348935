"""Print, as constraints of pip, the lowest version that pyproject.toml allows of every dependency; for `make lowest`.

A floor that is not a release, or that another floor contradicts, makes pip fail: a floor is the version that is tested.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
_FLOOR = re.compile(r"(?P<name>[\w.-]+)(\[[\w,-]+\])?>=(?P<version>[\w.]+)")


def lowest_versions(project: Path = PROJECT) -> dict[str, str]:
    """Versions by package name, of the dependencies and of all extras.

    Raises
    ------
    ValueError : a requirement has no lower bound, or two requirements of one package have different ones.
    """
    lowest: dict[str, str] = {}
    for requirement in _requirements(project):
        found = _FLOOR.match(requirement)
        if found is None:
            raise ValueError(f"{project}: {requirement!r} has no lower bound; give it one, e.g. {requirement}>=1.0")
        name, version = found["name"], found["version"]
        if lowest.setdefault(name, version) != version:
            raise ValueError(
                f"{project}: {name} has the lower bounds {lowest[name]} and {version}; give it one of them"
            )
    return lowest


def _requirements(project: Path) -> Iterator[str]:
    table = tomllib.loads(project.read_text())["project"]
    yield from table["dependencies"]
    for requirements in table["optional-dependencies"].values():
        yield from requirements


if __name__ == "__main__":
    for name, version in lowest_versions().items():
        print(f"{name}=={version}")
