"""The demo page at ``/``: the files of ``zdc_service/page``, and the two routes that only the page uses."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel, Field
from zdc_common.errors import OutOfRangeError
from zdc_detector.hits import to_hits
from zdc_detector.particles import LARGEST, species_name
from zdc_detector.pdg_table import mass_and_charge

from zdc_service.engine.repository import Repository
from zdc_service.serving.examples import SOURCE, Nearest, shipped_examples
from zdc_service.serving.http.documented import HitsReply

_FOLDER = Path(__file__).parents[2] / "page"
_INDEX, _README = "index.html", "/README.md"
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES = {
    f"/page/{path.name}": path
    for path in sorted(_FOLDER.iterdir())
    if path.suffix in _MEDIA_TYPES and path.name != _INDEX
}
#: Paths that need no token: they contain nothing secret, and the page is where a visitor enters the token.
PAGE_PATHS = frozenset({"/", _README, *_FILES})

_HEADERS = {
    # Load nothing from other servers, run no inline code, and let no other site embed this page.
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # browsers keep the file, but check its ETag each time
}


class About(BaseModel):
    """Facts about the server that the demo page needs and cannot get from another route."""

    version: str = Field(description="Version of the package; empty if it is not installed")
    grpc_port: int | None = Field(description="Port of the gRPC server on the same host; null without one")
    metrics: bool = Field(description="Whether /metrics is served on this port")
    masses: dict[int, float] = Field(description="Mass [MeV] of each species that the loaded models know, by PDG code")
    charges: dict[int, float] = Field(description="Charge [e] of the same species")


class Example(BaseModel):
    """A test particle with its Geant4 responses, mapped near to the requested point by a symmetry of the face."""

    pdg: int = Field(description="PDG Monte Carlo code")
    name: str = Field(description="Name of the species")
    energy: float = Field(description="Total energy [GeV]")
    x: float = Field(description="Point where the particle's straight line meets the face, after the symmetry [cm]")
    y: float = Field(description="Point on the face, after the symmetry [cm]")
    vz: float = Field(description="Production vertex along the beam [cm]")
    turn: str = Field(description="Symmetry of the face that was applied to the particle and its images, or none")
    energy_ratio: float = Field(description="Energy of the test particle divided by the requested energy")
    distance_cm: float = Field(description="Distance from the requested point on the face [cm]")
    shape: tuple[int, int] = Field(description="Number of fibres along x and y")
    channel_names: tuple[str, ...] = Field(description="Names of the channels, in the order of `channels`")
    channels: list[list[int]] = Field(description="Photon sums of the images, [row][channel]")
    hits: HitsReply = Field(description="Fibres with photons, one row for each Geant4 simulation of the particle")


class NearestReply(BaseModel):
    """Geant4 responses of the test particle that is nearest to the requested one."""

    source: str = Field(description="Origin and licence of the Geant4 responses")
    near: bool = Field(
        description="Whether the test particle is close enough for a comparison: hypot(ln(energy ratio) / ln(1.25), "
        "distance / 1 cm) <= 1, and the requested point is on the face"
    )
    example: Example | None = Field(description="null if there is no test particle of this species or calorimeter")


@dataclass(frozen=True)
class _File:
    """A file in memory."""

    body: bytes
    media_type: str

    def response(self, request: Request) -> Response:
        """The file, or 304 if the client's copy is up to date."""
        etag = f'"{hashlib.sha256(self.body).hexdigest()[:20]}"'
        headers = _HEADERS | {"ETag": etag}
        known = request.headers.get("if-none-match", "")
        if etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers=headers, media_type=self.media_type)


def add_page(app: FastAPI, repository: Repository, grpc_port: Callable[[], int] | None, metrics: bool) -> None:
    """Add the routes of the page.

    Parameters
    ----------
    app : The application that gets the routes.
    repository : The loaded models.
    grpc_port : Returns the port of the gRPC server.
    metrics : Whether the same port serves /metrics.
    """
    version, readme = _installed()
    on_disk = _FILES | {"/": _FOLDER / _INDEX}
    files = {path: _File(file.read_bytes(), _MEDIA_TYPES[file.suffix]) for path, file in on_disk.items()}
    files[_README] = _File(readme.encode(), "text/plain")

    async def answer(file: _File, request: Request) -> Response:
        return file.response(request)

    for path, file in files.items():
        app.add_route(path, partial(answer, file), methods=["GET"], include_in_schema=False)

    @app.get(
        "/about",
        summary="Version and ports of this server",
        description="Facts about the server for the demo page: version, gRPC port, masses and charges of particles.",
        tags=["page"],
    )
    async def about() -> About:
        known = _masses_and_charges({species.pdg for engine in repository for species in engine.card.ranges.species})
        return About(
            version=version,
            grpc_port=None if grpc_port is None else grpc_port(),
            metrics=metrics,
            masses={pdg: mass for pdg, (mass, _) in known.items()},
            charges={pdg: charge for pdg, (_, charge) in known.items()},
        )

    @app.get(
        "/examples/nearest",
        summary="Geant4 responses of the nearest test particle",
        description="Returns the shipped test particle that is nearest in energy and in its point on the face, with "
        "its five Geant4 responses, to compare with generated ones. The symmetries of the face are used.",
        tags=["page"],
    )
    async def nearest(
        pdg: Annotated[int, Query(description="PDG Monte Carlo code of the species")],
        energy: Annotated[float, Query(ge=1e-9, le=LARGEST, description="Total energy [GeV]")],
        x: Annotated[
            float,
            Query(
                ge=-LARGEST,
                le=LARGEST,
                description="x of the point where the straight line meets the face [cm from its centre]",
            ),
        ],
        y: Annotated[float, Query(ge=-LARGEST, le=LARGEST, description="y of that point [cm]")],
        calorimeter: Annotated[str, Query(description="Name of the calorimeter, as in a model card")] = "ZN",
    ) -> NearestReply:
        examples = shipped_examples()
        found = examples.nearest(pdg, energy, (x, y)) if calorimeter == examples.calorimeter.name else None
        return NearestReply(
            source=SOURCE,
            near=found is not None and found.near,
            example=None if found is None else _example(found),
        )


def _masses_and_charges(codes: set[int]) -> dict[int, tuple[float, float]]:
    known = {}
    for pdg in codes:
        with suppress(OutOfRangeError):  # a model may know a species that the PDG table does not have
            known[pdg] = mass_and_charge(pdg)
    return known


def _example(found: Nearest) -> Example:
    calorimeter = shipped_examples().calorimeter
    hits = to_hits(found.responses)
    return Example(
        pdg=found.pdg,
        name=species_name(found.pdg),
        energy=found.energy,
        x=found.point[0],
        y=found.point[1],
        vz=found.vz,
        turn=found.turn,
        energy_ratio=found.energy_ratio,
        distance_cm=found.distance_cm,
        shape=calorimeter.shape,
        channel_names=calorimeter.channel_names,
        channels=calorimeter.channel_sums(found.responses).tolist(),
        hits=HitsReply(offsets=hits.offsets.tolist(), fibre=hits.fibre.tolist(), photons=hits.photons.tolist()),
    )


def _installed() -> tuple[str, str]:
    """Version and README of the package; no version if it runs from a checkout that is not installed."""
    try:
        package = metadata.metadata("zdc-fastsim")
    except metadata.PackageNotFoundError:
        return "", "zdc-fastsim is not installed here; read README.md in the checkout.\n"
    return package["Version"], str(package.json.get("description", ""))
