"""The set-up of a simulation: geometry, materials, fibres, light and physics of one calorimeter, as a TOML file."""

import hashlib
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator
from zdc_common.errors import ConfigError
from zdc_common.frozen import Frozen
from zdc_detector.calorimeter import Calorimeter
from zdc_detector.calorimeters import find_calorimeter

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _sums_to_one(fractions: dict[str, float]) -> dict[str, float]:
    if abs(sum(fractions.values()) - 1) > 1e-6:
        raise ValueError(f"mass fractions sum to {sum(fractions.values()):g}; they must sum to 1")
    return fractions


class Geometry(Frozen):
    """A block of absorber with one groove and one fibre per cell, all along z."""

    length: Positive = Field(description="depth of the absorber along z [cm]")
    groove: Positive = Field(description="side of the square groove around a fibre, filled with air [cm]")
    fibre_radius: Positive = Field(description="radius of a bare fibre [cm]")

    @model_validator(mode="after")
    def _fibre_fits(self) -> "Geometry":
        if 2 * self.fibre_radius > self.groove:
            raise ValueError(
                f"a fibre of radius {self.fibre_radius:g} cm does not fit into a groove of {self.groove:g} cm"
            )
        return self


class Absorber(Frozen):
    """Material between the fibres."""

    density: Positive = Field(description="[g/cm3]")
    mass_fractions: Annotated[dict[str, Positive], AfterValidator(_sums_to_one)] = Field(
        min_length=1, description="share of the mass of each element, by its symbol"
    )


class Fibre(Frozen):
    """Material of the fibres."""

    density: Positive = Field(description="[g/cm3]")
    atoms: dict[str, Annotated[int, Field(gt=0)]] = Field(
        min_length=1, description="atoms of each element in a molecule"
    )


class Light(Frozen):
    """Cherenkov light; see `zdc_training.simulator.light`."""

    refractive_index: float = Field(gt=1, le=4, description="refractive index of the fibre")
    numerical_aperture: Positive = Field(
        description="sine of the largest angle to the axis that a fibre accepts in air"
    )
    energy_window: Positive = Field(description="width of the window of photon energies [eV]")
    minimum_angle: float = Field(
        ge=0, lt=90, description="tracks at a smaller angle to the fibre give no light [degrees]"
    )
    skew_angle: float = Field(
        ge=0, le=90, description="below this angle to the fibre, the light per length falls like its sine [degrees]"
    )
    scale: Positive = Field(description="light that is counted / light that is captured")


class Upstream(Frozen):
    """Vacuum between the interaction point and the face."""

    sweep_end: Positive = Field(
        description="charged particles born before this distance from the interaction point are removed [cm]"
    )


class Physics(Frozen):
    """Models and cuts of Geant4."""

    electromagnetic: Literal["option0", "option1", "option2", "option3", "option4"] = Field(
        description="constructor G4EmStandardPhysics, or one of its options"
    )
    hadronic: Literal["FTFP_BERT", "QGSP_BERT", "FTFP_BERT_HP", "QGSP_BIC"] = Field(
        description="constructor G4HadronPhysics..."
    )
    range_cut: Positive = Field(description="production threshold [cm]")
    fibre_range_cut: Positive = Field(description="production threshold in the fibres [cm]")
    lowest_electron_energy: Positive = Field(description="electrons below it stop [MeV]")
    lowest_kinetic_energy: Positive = Field(description="tracks below it stop [MeV]")
    lowest_neutron_energy: Positive = Field(description="neutrons below it stop [MeV]")


class SetUp(Frozen):
    """One calorimeter and how it is simulated."""

    calorimeter: Calorimeter
    geometry: Geometry
    absorber: Absorber
    fibre: Fibre
    light: Light
    upstream: Upstream | None = Field(None, description="without it, charged particles are followed on the whole way")
    physics: Physics

    @model_validator(mode="after")
    def _grooves_fit(self) -> "SetUp":
        if self.geometry.groove >= min(self.calorimeter.pitch):
            raise ValueError(
                f"a groove of {self.geometry.groove:g} cm does not fit into a cell of {self.calorimeter.pitch} cm"
            )
        return self

    @model_validator(mode="after")
    def _sweeps_before_the_face(self) -> "SetUp":
        if self.upstream is not None and self.upstream.sweep_end >= self.calorimeter.face_z - 1:
            raise ValueError(
                f"upstream.sweep_end = {self.upstream.sweep_end:g} cm is not before the face at "
                f"{self.calorimeter.face_z:g} cm; correct it, or leave out upstream"
            )
        return self

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements of absorber and fibres."""
        return (*self.absorber.mass_fractions, *self.fibre.atoms)

    @property
    def sha256(self) -> str:
        """Hash of all values: two set-ups with one hash give the same showers."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def shipped_set_ups() -> dict[str, Path]:
    """Name and path of each set-up in the package."""
    folder = Path(str(files("zdc_training") / "simulator" / "detectors"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_toml(source: str, shipped: dict[str, Path], what: str) -> tuple[Path, dict[str, object]]:
    """The values of a TOML file, given by its path or by the name of a shipped one.

    Raises
    ------
    ConfigError : no such file or name, or not TOML.
    """
    path = Path(source)
    if not path.is_file():
        if source not in shipped:
            names = f", or one of {', '.join(shipped)}" if shipped else ""
            raise ConfigError(f"{source}: no such {what}; give the path of a TOML file{names}")
        path = shipped[source]
    try:
        return path, tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def describe(path: Path, error: ValidationError) -> ConfigError:
    """The first problem of a TOML file as one line."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    given = "" if first["type"] == "missing" or isinstance(first["input"], dict) else f" = {first['input']!r}"
    return ConfigError(f"{path}: {key or 'the file'}{given}: {first['msg'].removeprefix('Value error, ')}")


def read_set_up(source: str) -> SetUp:
    """Read a TOML file, or a shipped set-up by its name.

    Parameters
    ----------
    source : A path, or a name such as ``zn``. The key ``calorimeter`` of the file is a name, a path
        relative to the file, or a table with the keys of a calorimeter.

    Raises
    ------
    ConfigError : no such file, not TOML, an unknown or missing key, or a value out of bounds; names the key.
    """
    path, values = read_toml(source, shipped_set_ups(), "set-up")
    named = values.get("calorimeter")
    if isinstance(named, str):
        beside = path.parent / named
        values["calorimeter"] = find_calorimeter(beside if beside.is_file() else named)
    try:
        return SetUp.model_validate(values)
    except ValidationError as error:
        raise describe(path, error) from error
