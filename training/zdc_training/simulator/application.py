"""The Geant4 application: geometry, physics, particle gun and the steps of charged tracks in fibres.

Only worker processes import this module: Geant4 has one run manager per process, which cannot be reset, and a fatal
exception of Geant4 ends the process. Lengths are in mm and energies in MeV, the units of Geant4. Objects that Geant4
points to are kept in `_kept`, because Geant4 does not own objects made in Python.
"""

import math
from typing import TypeVar

import geant4_pybind as g4
import numpy as np
from numpy.typing import NDArray

from zdc_training.simulator.primaries import MM_PER_CM, START, Primary
from zdc_training.simulator.set_up import SetUp

_HUGE = 1e9  # no limit of step, track length or time
_MARGIN = 300.0  # vacuum beside and behind the block [mm]
_ELECTROMAGNETIC = {
    "option0": g4.G4EmStandardPhysics,
    **{f"option{n}": getattr(g4, f"G4EmStandardPhysics_option{n}") for n in range(1, 5)},
}
_Thing = TypeVar("_Thing")
_kept: list[object] = []


def _keep(thing: _Thing) -> _Thing:
    _kept.append(thing)
    return thing


class _Detector(g4.G4VUserDetectorConstruction):
    """A block with one groove and one fibre per cell, in vacuum that reaches to the interaction point."""

    def __init__(self, set_up: SetUp, steps: "_Steps"):
        super().__init__()
        self._set_up = set_up
        self._steps = steps
        self._sweeper: g4.G4LogicalVolume | None = None

    def Construct(self) -> g4.G4VPhysicalVolume:
        """The world."""
        set_up, nist = self._set_up, g4.G4NistManager.Instance()
        face, geometry = set_up.calorimeter, set_up.geometry
        vacuum = nist.FindOrBuildMaterial("G4_Galactic")
        air = nist.FindOrBuildMaterial("G4_AIR")
        fractions = set_up.absorber.mass_fractions
        absorber = _keep(g4.G4Material("absorber", set_up.absorber.density * g4.g / g4.cm3, len(fractions)))
        for symbol, fraction in fractions.items():
            absorber.AddElement(_element(symbol), float(fraction))
        atoms = set_up.fibre.atoms
        quartz = _keep(g4.G4Material("fibre", set_up.fibre.density * g4.g / g4.cm3, len(atoms)))
        for symbol, number in atoms.items():
            quartz.AddElement(_element(symbol), int(number))

        half_x, half_y = (MM_PER_CM * half for half in face.half_width)
        half_z = MM_PER_CM * geometry.length / 2
        groove_half = MM_PER_CM * geometry.groove / 2
        reach = MM_PER_CM * face.face_z + _MARGIN
        world = _volume(g4.G4Box("world", half_x + _MARGIN, half_y + _MARGIN, reach), vacuum)
        block = _volume(g4.G4Box("block", half_x, half_y, half_z), absorber)
        groove = _volume(g4.G4Box("groove", groove_half, groove_half, half_z), air)
        radius = MM_PER_CM * geometry.fibre_radius
        self._fibre = _volume(g4.G4Tubs("fibre", 0, radius, half_z, 0, 2 * math.pi), quartz)
        placed = _place(world, None, (0, 0, 0))
        _place(block, world, (0, 0, half_z))
        _place(self._fibre, groove, (0, 0, 0))
        rows, columns = face.shape
        pitch_x, pitch_y = 2 * half_x / rows, 2 * half_y / columns
        for i in range(rows):
            for j in range(columns):
                # Placements are 20-30 % faster than nested replicas.
                centre = ((i + 0.5) * pitch_x - half_x, (j + 0.5) * pitch_y - half_y, 0.0)
                _place(groove, block, centre, i * columns + j)
        region = _keep(g4.G4Region("fibres"))
        region.AddRootLogicalVolume(self._fibre)
        limits = _keep(g4.G4UserLimits(_HUGE, _HUGE, _HUGE, set_up.physics.lowest_kinetic_energy * g4.MeV))
        for volume in (world, block, groove, self._fibre):
            volume.SetUserLimits(limits)
        if set_up.upstream is not None:
            half = half_x + _MARGIN / 2, half_y + _MARGIN / 2, 0.5
            self._sweeper = _volume(g4.G4Box("sweeper", *half), vacuum)
            self._sweeper.SetUserLimits(limits)
            _place(self._sweeper, world, (0, 0, MM_PER_CM * (set_up.upstream.sweep_end - face.face_z)))
        return placed

    def ConstructSDandField(self) -> None:
        """Attach the scorers."""
        self._score(self._fibre, "fibres", self._steps)
        if self._sweeper is not None:
            self._score(self._sweeper, "sweeper", _keep(_Sweeper()))

    def _score(self, volume: g4.G4LogicalVolume, name: str, scorer: g4.G4VPrimitiveScorer) -> None:
        # A filter on a primitive scorer: one on a G4VSensitiveDetector of Python crashes, a stepping action is slow.
        detector = _keep(g4.G4MultiFunctionalDetector(name))
        scorer.SetFilter(_keep(g4.G4SDChargedFilter(f"{name}, charged")))
        detector.RegisterPrimitive(scorer)
        g4.G4SDManager.GetSDMpointer().AddNewDetector(detector)
        self.SetSensitiveDetector(volume, detector)


def _element(symbol: str) -> g4.G4Element:
    element = g4.G4NistManager.Instance().FindOrBuildElement(symbol)
    if element is None:
        raise ValueError(f"no element {symbol!r}")
    return element


def _volume(solid: g4.G4VSolid, material: g4.G4Material) -> g4.G4LogicalVolume:
    return _keep(g4.G4LogicalVolume(_keep(solid), material, solid.GetName()))


def _place(
    volume: g4.G4LogicalVolume, mother: g4.G4LogicalVolume | None, centre: tuple[float, float, float], number: int = 0
) -> g4.G4VPhysicalVolume:
    return _keep(g4.G4PVPlacement(None, g4.G4ThreeVector(*centre), volume, volume.GetName(), mother, False, number))


class _Scorer(g4.G4VPrimitiveScorer):
    """A scorer without hits of its own; Geant4 calls these methods, and they must exist."""

    def Initialize(self, _hits: object) -> None:
        """Nothing."""

    def EndOfEvent(self, _hits: object) -> None:
        """Nothing."""

    def clear(self) -> None:
        """Nothing."""


class _Steps(_Scorer):
    """Steps of charged tracks in fibres, columns as in `zdc_training.simulator.light`."""

    def __init__(self) -> None:
        super().__init__("steps", 0)
        self.taken: list[tuple[float, float, float, float, float, float]] = []

    def ProcessHits(self, step: g4.G4Step, _history: object) -> bool:
        """Note the step."""
        before = step.GetPreStepPoint()
        place = before.GetPosition()
        cosine = before.GetMomentumDirection().z
        self.taken.append((place.x, place.y, place.z, cosine, before.GetBeta(), step.GetStepLength()))
        return True


class _Sweeper(_Scorer):
    """Removes charged tracks, as the magnets before it do."""

    def __init__(self) -> None:
        super().__init__("sweeper", 0)

    def ProcessHits(self, step: g4.G4Step, _history: object) -> bool:
        """Stop the track."""
        step.GetTrack().SetTrackStatus(g4.G4TrackStatus.fStopAndKill)
        return True


class _Gun(g4.G4VUserPrimaryGeneratorAction):
    def __init__(self) -> None:
        super().__init__()
        self._gun = g4.G4ParticleGun(1)
        self.primary: Primary | None = None

    def GeneratePrimaries(self, event: g4.G4Event) -> None:
        """Shoot `primary`."""
        primary, gun = self.primary, self._gun
        assert primary is not None
        gun.SetParticleDefinition(g4.G4ParticleTable.GetParticleTable().FindParticle(primary.pdg))
        gun.SetParticleEnergy(primary.kinetic_energy)
        gun.SetParticlePosition(g4.G4ThreeVector(*primary.position))
        gun.SetParticleMomentumDirection(g4.G4ThreeVector(*primary.direction))
        gun.GeneratePrimaryVertex(event)


class _Actions(g4.G4VUserActionInitialization):
    def __init__(self) -> None:
        super().__init__()
        self.gun = _Gun()

    def Build(self) -> None:
        """Give the gun to Geant4."""
        self.SetUserAction(self.gun)


class _Physics(g4.G4VModularPhysicsList):
    """Packaged constructors: single processes and models are not available from Python."""

    def __init__(self, set_up: SetUp):
        super().__init__()
        self.SetVerboseLevel(0)
        physics = set_up.physics
        neutrons = _keep(g4.G4NeutronTrackingCut(0))
        neutrons.SetKineticEnergyLimit(physics.lowest_neutron_energy * g4.MeV)
        for constructor in (
            _ELECTROMAGNETIC[physics.electromagnetic](),
            g4.G4DecayPhysics(),
            g4.G4HadronElasticPhysics(),
            getattr(g4, f"G4HadronPhysics{physics.hadronic}")(),
            g4.G4IonPhysics(),
            neutrons,
            g4.G4StepLimiterPhysics(),  # without it, user limits have no effect
        ):
            self.RegisterPhysics(_keep(constructor))


class Application:
    """Geant4 with one set-up. A process can have only one.

    Raises
    ------
    ValueError : an element or a command of the set-up is not known to Geant4.
    """

    def __init__(self, set_up: SetUp):
        manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.Serial)
        manager.SetVerboseLevel(0)
        self._manager = _keep(manager)
        self._steps = _keep(_Steps())
        manager.SetUserInitialization(_keep(_Detector(set_up, self._steps)))
        manager.SetUserInitialization(_keep(_Physics(set_up)))
        self._actions = _keep(_Actions())  # Geant4 wants the physics first
        manager.SetUserInitialization(self._actions)
        parameters = g4.G4EmParameters.Instance()
        parameters.SetLowestElectronEnergy(set_up.physics.lowest_electron_energy * g4.MeV)
        parameters.SetVerbose(0)
        _command("/process/had/verbose 0")
        _command("/process/em/verbose 0")
        manager.Initialize()
        _command(f"/run/setCut {set_up.physics.range_cut} cm")
        _command(f"/run/setCutForRegion fibres {set_up.physics.fibre_range_cut} cm")
        # The first event builds the tables of the processes.
        self.shoot(Primary(22, 1e-3 * g4.MeV, (0.0, 0.0, -START), (0.0, 0.0, 1.0)), 1)

    def knows(self, pdg: int) -> bool:
        """Whether Geant4 has a particle with this PDG code."""
        return g4.G4ParticleTable.GetParticleTable().FindParticle(pdg) is not None

    def shoot(self, primary: Primary, seed: int) -> NDArray[np.float64]:
        """Simulate one shower.

        Parameters
        ----------
        seed : Seed of Geant4's random engine, 0 <= seed < 2^63. It is set before the shower, which so does not depend
            on earlier ones.

        Returns
        -------
        Steps of charged tracks in fibres, columns of `zdc_training.simulator.light`, shape (steps, 6).
        """
        self._steps.taken.clear()
        self._actions.gun.primary = primary
        g4.G4Random.setTheSeed(seed)
        self._manager.BeamOn(1)
        return np.array(self._steps.taken, dtype=np.float64).reshape(-1, 6)


def _command(text: str) -> None:
    code = g4.G4UImanager.GetUIpointer().ApplyCommand(text)
    if code:
        raise ValueError(f"Geant4 refuses {text!r} with code {code}")
