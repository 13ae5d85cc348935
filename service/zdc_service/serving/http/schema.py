"""Schema of the requests of `POST /simulate`; it is used to check requests and to describe them in /docs."""

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Annotated, Any, TypeVar

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema
from zdc_common.errors import InvalidInputError, OutOfRangeError, TooLargeError, cut, excerpt
from zdc_detector.frames import Frame
from zdc_detector.mass_shell import total_energy
from zdc_detector.particles import CONDITIONS, KINEMATICS, Particles
from zdc_detector.pdg_table import look_up

from zdc_service.simulation import OutOfRange, Output, SimulationRequest, check_rows

_COLUMNS = ("pdg", *CONDITIONS)
_NAMES = frozenset(_COLUMNS)
#: Maximum number of values in a body besides those of particles; far more than any request needs.
_OTHER_VALUES = 64
#: Columns of a binary body, unless its query has `columns`.
ROW_COLUMNS = ("pdg", *KINEMATICS)

_Fields = TypeVar("_Fields", bound=BaseModel)


class ParticleRow(BaseModel):
    """One particle. `energy`, `mass` and `charge` follow from the PDG code; if given, they must agree with it."""

    model_config = ConfigDict(extra="forbid")

    pdg: int = Field(description="PDG Monte Carlo code")
    px: float = Field(description="Momentum along x [GeV/c]")
    py: float = Field(description="Momentum along y [GeV/c]")
    pz: float = Field(description="Momentum along the beam [GeV/c]; > 0 flies to side A, < 0 to side C")
    vx: float = Field(0.0, description="Production vertex, x [cm]; with frame = face, x at the face")
    vy: float = Field(0.0, description="Production vertex, y [cm]; with frame = face, y at the face")
    vz: float = Field(0.0, description="Production vertex, z along the beam [cm]; with frame = face, filled in")
    energy: float = Field(0.0, description="Total energy [GeV]; default: from momentum and mass")
    mass: float = Field(0.0, description="Mass [MeV]; default: from the PDG table")
    charge: float = Field(0.0, description="Charge [e], not in units of |e|/3; default: from the PDG table")


def _particles_schema() -> dict[str, Any]:
    row = ParticleRow.model_json_schema()
    for name in ("energy", "mass", "charge"):
        del row["properties"][name]["default"]
    columns = {name: {"type": "array", "items": field} for name, field in row["properties"].items()}
    return {
        "anyOf": [
            {"type": "array", "items": row, "minItems": 1, "title": "Rows"},
            {"type": "object", "properties": columns, "required": row["required"], "title": "Columns",
             "additionalProperties": False},
        ]
    }  # fmt: skip


def _choices(kind: type[Output] | type[OutOfRange] | type[Frame]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": [choice.value for choice in kind]})


#: Named examples of a body, in OpenAPI's form.
EXAMPLES: Mapping[str, Any] = {
    "rows": {
        "summary": "a list of particles",
        "value": {
            "particles": [{"pdg": 2112, "px": 0.1, "py": 0, "pz": 1500, "vz": 2.0}],
            "seed": 7,
            "repeats": 1,
            "output": "channels",
        },
    },
    "columns": {
        "summary": "a list for each column",
        "value": {
            "particles": {"pdg": [2112, 22], "px": [0.1, 0], "py": [0, 0.1], "pz": [1500, -800]},
            "output": "hits",
        },
    },
}


class SimulateOptions(BaseModel):
    """Options of a simulation: members of a JSON body, or the query of a binary body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seed: int | None = Field(
        None, description="Random seed, 0 <= seed < 2^53; default: a random seed, which the answer contains"
    )
    first_row: int = Field(
        0, description="Row number of the first particle; to split a job, continue the count of the part before"
    )
    repeats: int = Field(1, description="Number of responses per particle")
    output: Annotated[Output, _choices(Output)] = Field(
        Output.RESPONSE, strict=False, description="Content of each row in addition to its channel sums"
    )
    out_of_range: Annotated[OutOfRange, _choices(OutOfRange)] = Field(
        OutOfRange.ERROR,
        strict=False,
        description="What to do with particles outside the trained species, energies, vertices, or positions and "
        "slopes at the face; extrapolate applies to all of these but species, and an untrained species or frame is "
        "still an error",
    )
    frame: Annotated[Frame, _choices(Frame)] = Field(
        Frame.VERTEX,
        strict=False,
        description="Where positions and momenta are given: at the production vertex, or at the calorimeter's face. At "
        "the face, vx and vy are the position there, and vz is filled in: leave it out, or give that of the face",
    )
    rates: bool = Field(False, description="Return the model's raw rates as floats instead of photon counts")
    model: str | None = Field(None, description="Name of the model; default: the server's default model")
    version: int | None = Field(None, ge=1, description="Version of the model; default: the newest")

    def request(self, particles: Particles) -> SimulationRequest:
        """The request to simulate `particles` with these options."""
        return SimulationRequest(particles, **self._options)

    @cached_property
    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SimulateOptions.model_fields}


class SimulateBody(SimulateOptions):
    """Particles to simulate, and the options of the simulation."""

    particles: Annotated[Any, WithJsonSchema(_particles_schema())] = Field(
        description="A list of particles, or an object with one list per column"
    )


class SimulateQuery(SimulateOptions):
    """The query of a binary body."""

    columns: str = Field(
        ",".join(ROW_COLUMNS), description="Names of the columns of a row, in their order, separated by commas"
    )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self.columns.split(","))


def parse_request(body: bytes, most_rows: int) -> SimulationRequest:
    """Parse a JSON request of at most `most_rows` rows.

    Raises
    ------
    InvalidInputError : not JSON, or not of the declared form; names the field, or the particle and its error.
    OutOfRangeError : the PDG table does not have a species.
    TooLargeError : too many rows.
    """
    _check_values(body, most_rows)
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"the body is not JSON: {error}; /docs describes it") from error
    if isinstance(raw, dict):  # other types are refused below
        check_names("", raw, SimulateBody.model_fields, "a request")
    fields = explained(lambda: SimulateBody.model_validate(raw))
    columns = _columns_of(fields.particles, fields.repeats, most_rows)
    return fields.request(Particles.from_columns(columns))


def _check_values(body: bytes, most_rows: int) -> None:
    """Refuse more values than a request can have, before each becomes a Python object of up to 100 bytes."""
    values = body.count(b",") + 1
    if values > most_rows * len(_COLUMNS) + _OTHER_VALUES:
        raise TooLargeError(
            f"the body has {values} values, more than a request with the maximum of {most_rows} particles and all "
            "columns; split the particles, and set first_row to continue the count"
        )


def check_names(where: str, given: Mapping[str, Any], known: Collection[str], what: str) -> None:
    """Refuse unknown names. Pydantic also does so, but builds an error for each name, which is slow for many names."""
    unknown = given.keys() - set(known)
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise InvalidInputError(f"{where}{cut(min(unknown))}{more}: unknown; {what} has {', '.join(known)}")


def explained(validate: Callable[[], _Fields]) -> _Fields:
    """The result of `validate`; raises InvalidInputError that names the first wrong field."""
    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise InvalidInputError(f"{where}: {first['msg']}; received {excerpt(first['input'])}") from error


def _columns_of(raw: object, repeats: int, most_rows: int) -> Mapping[str, Any]:
    """The columns for `Particles.from_columns`, from a list of particles or an object of columns."""
    if isinstance(raw, list):
        check_rows(len(raw), repeats, most_rows)
        return _columns_of_rows(raw)
    if isinstance(raw, dict):
        check_names("particles.", raw, _COLUMNS, "a particle")
        for name, column in raw.items():
            if not isinstance(column, list):
                raise InvalidInputError(
                    f"particles.{name} = {excerpt(column)} must be a list with one value per particle"
                )
            check_rows(len(column), repeats, most_rows)
        return {name: _numbers(name, column) for name, column in raw.items()}
    raise InvalidInputError(f"particles must be a list of particles, or an object of columns; received {excerpt(raw)}")


def _columns_of_rows(rows: list[Any]) -> Mapping[str, Any]:
    """Columns of a list of particle objects; each object may have other keys."""
    for row, particle in enumerate(rows):
        if not isinstance(particle, dict):
            raise InvalidInputError(f"particle[{row}] = {excerpt(particle)} must be an object with pdg, px, py and pz")
        if not particle.keys() <= _NAMES:
            check_names(f"particle[{row}]: ", particle, _COLUMNS, "a particle")
    names: set[str] = set().union(*rows)
    columns: dict[str, Any] = {}
    for name in ("pdg", "px", "py", "pz"):
        try:
            columns[name] = _numbers(name, [particle[name] for particle in rows])
        except KeyError:
            row = next(i for i, particle in enumerate(rows) if name not in particle)
            raise InvalidInputError(
                f"particle[{row}]: {name} is missing; pdg, px, py and pz [GeV/c] are required"
            ) from None
    for name in ("vx", "vy", "vz"):
        if name in names:
            columns[name] = _numbers(name, [particle.get(name, 0.0) for particle in rows])
    for name in ("mass", "charge", "energy"):
        if name in names:
            columns[name] = _filled_in(name, rows, columns)
    return columns


def _filled_in(name: str, rows: list[Any], columns: Mapping[str, Any]) -> list[Any]:
    """Energy [GeV], mass [MeV] or charge [e]; derived for the particles that do not give it, if others do."""
    lacking = np.array([name not in particle for particle in rows])
    if not lacking.any():
        return _numbers(name, [particle[name] for particle in rows])
    with np.errstate(over="ignore", invalid="ignore"):  # `Particles` refuses too large numbers, with their names
        codes = np.array(columns["pdg"], dtype=np.float64).astype(np.int64)
        table, known = look_up(codes)
        unknown = lacking & ~known
        if name == "energy":
            mass = np.array(columns.get("mass", table[:, 0]), dtype=np.float64)
            momentum = np.array([columns[axis] for axis in ("px", "py", "pz")], dtype=np.float64)
            derived = total_energy(momentum.T, mass)
            unknown &= "mass" not in columns
        else:
            derived = table[:, int(name == "charge")]
    if unknown.any():
        row = int(np.argmax(unknown))
        raise OutOfRangeError(
            f"particle[{row}]: pdg {excerpt(columns['pdg'][row])} is not in the PDG table; send its mass [MeV] and "
            "charge [e]"
        )
    return _numbers(name, [particle.get(name, value) for particle, value in zip(rows, derived.tolist(), strict=True)])


def _numbers(name: str, values: list[Any]) -> list[Any]:
    """The column itself; raises InvalidInputError if a value is not a number."""
    if not set(map(type, values)) <= {int, float}:
        row = next(i for i, value in enumerate(values) if type(value) not in (int, float))
        raise InvalidInputError(f"particle[{row}]: {name} = {excerpt(values[row])} must be a number")
    return values
