"""What the validation simulates, and with how many showers."""

from collections.abc import Iterator

from zdc_detector.calorimeter import Calorimeter

from zdc_training.simulator.set_up import SetUp
from zdc_training.validation.studies import Study

ELECTRON, PHOTON, NEUTRON, PROTON = 11, 22, 2112, 2212
NAMES = {ELECTRON: "electron", PHOTON: "photon", NEUTRON: "neutron", PROTON: "proton"}
#: Species, energy [GeV] and number of showers in the large block.
_LARGE = ((None, 100.0, 60), (None, 1000.0, 15), (ELECTRON, 100.0, 12))
#: Species, energy [GeV] and number of showers with which settings are varied.
PROBES = ((PHOTON, 50.0, 60), (NEUTRON, 100.0, 100))
_TIMES_WIDER, _DEEP = 3, 300.0  # the large block: half widths of the face, and depth [cm]

#: Settings of the physics that are varied, one at a time.
_PHYSICS: dict[str, dict[str, object]] = {
    "range cut 0.3 mm": {"range_cut": 0.03},
    "range cut 3 mm": {"range_cut": 0.3},
    "range cut in the fibres 1 mm": {"fibre_range_cut": 0.1},
    "electrons and tracks stop at 0.5 MeV": {"lowest_electron_energy": 0.5, "lowest_kinetic_energy": 0.5},
    "electrons and tracks stop at 2 MeV": {"lowest_electron_energy": 2.0, "lowest_kinetic_energy": 2.0},
    "hadrons QGSP_BIC": {"hadronic": "QGSP_BIC"},
}
#: These read data for which there are no stand-ins, such as Rayleigh scattering.
_WITH_OFFICIAL_DATA: dict[str, dict[str, object]] = {
    "EM option 0": {"electromagnetic": "option0"},
    "EM option 4": {"electromagnetic": "option4"},
}
#: Factors on the stand-in data that are varied.
STAND_INS = {"bremsstrahlung +10 %": (1.1, 1.0), "interaction length of neutrons +5 %": (1.0, 1.05)}
AS_SET_UP = "as set up"


def _number(showers: int, share: float) -> int:
    return max(4, round(showers * share))


def large_studies(set_up: SetUp, hadron: int, share: float) -> Iterator[Study]:
    """Showers in a block so large that nothing leaves it, for profiles and for the leakage of the real one."""
    large = enlarged(set_up)
    for species, energy, showers in _LARGE:
        pdg = species or hadron
        name = f"{set_up.calorimeter.name}-large-{NAMES[pdg]}-{energy:g}"
        yield Study(name, large, pdg, energy, _number(showers, share))


def enlarged(set_up: SetUp) -> SetUp:
    """The same fibres and pitch in a block that is `_TIMES_WIDER` times as wide and high, and `_DEEP` cm deep."""
    face = set_up.calorimeter
    rows, columns = (_TIMES_WIDER * number for number in face.shape)
    wide = Calorimeter(
        **face.model_dump(exclude={"shape", "half_width", "channel_names", "channel_map"}),
        shape=(rows, columns),
        half_width=(_TIMES_WIDER * face.half_width[0], _TIMES_WIDER * face.half_width[1]),
        channel_names=("all",),
        channel_map=("1" * columns,) * rows,
    )
    deep = set_up.geometry.model_copy(update={"length": _DEEP})
    return set_up.model_copy(update={"calorimeter": wide, "geometry": deep})


def setting_studies(set_up: SetUp, stand_ins: bool, share: float) -> Iterator[tuple[str, Study]]:
    """One study for each changed setting and each of `PROBES`; stand-in data are varied if they are used."""
    variants: list[tuple[str, SetUp, tuple[float, float]]] = [(AS_SET_UP, set_up, (1.0, 1.0))]
    for what, changes in (_PHYSICS if stand_ins else _PHYSICS | _WITH_OFFICIAL_DATA).items():
        physics = set_up.physics.model_copy(update=changes)
        variants.append((what, set_up.model_copy(update={"physics": physics}), (1.0, 1.0)))
    if stand_ins:
        variants += [(what, set_up, factors) for what, factors in STAND_INS.items()]
    for number, (what, changed, factors) in enumerate(variants):
        for pdg, energy, showers in PROBES:
            name = f"{set_up.calorimeter.name}-setting{number}-{NAMES[pdg]}"
            yield what, Study(name, changed, pdg, energy, _number(showers, share), factors)
