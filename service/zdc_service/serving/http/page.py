"""The page at ``/``: its files, as they stand in ``zdc_service/page``, and the two routes that were made for it."""

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
#: What is served without a token: it is the same for everybody, and without it nobody could enter one.
PAGE_PATHS = frozenset({"/", _README, *_FILES})

_HEADERS = {
    # Nothing from elsewhere, nothing inline; nobody else's page may hold this one.
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # kept, but asked for each time: the ETag answers in a few bytes
}


class About(BaseModel):
    """What the page cannot know from elsewhere."""

    version: str = Field(description="of the package; empty where it is not installed")
    grpc_port: int | None = Field(description="on the same host")
    metrics: bool = Field(description="whether /metrics is on this port")
    masses: dict[int, float] = Field(description="of the species that the loaded models know, by PDG code [MeV]")


class Example(BaseModel):
    """A test particle, turned to the wanted one by a symmetry of the face, and its responses."""

    pdg: int
    name: str
    energy: float = Field(description="total energy [GeV]")
    x: float = Field(description="where its line meets the face, turned [cm]")
    y: float = Field(description="[cm]")
    vz: float = Field(description="vertex [cm]")
    turn: str = Field(description="the symmetry of the face that particle and images were turned by, or none")
    energy_ratio: float = Field(description="over the wanted energy")
    distance_cm: float = Field(description="from the wanted point [cm]")
    shape: tuple[int, int]
    channel_names: tuple[str, ...]
    channels: list[list[int]] = Field(description="photon sums of the turned images, [row][channel]")
    hits: HitsReply


class NearestReply(BaseModel):
    """Geant4 responses to compare with."""

    source: str
    near: bool = Field(
        description="within a factor 1.25 in energy or 1 cm on the face, or less of both; never off the face"
    )
    example: Example | None = Field(description="null where there is no particle of this species or calorimeter")


@dataclass(frozen=True)
class _File:
    """A file in memory."""

    body: bytes
    media_type: str

    def response(self, request: Request) -> Response:
        """The file, or that the caller's copy is still right."""
        etag = f'"{hashlib.sha256(self.body).hexdigest()[:20]}"'
        headers = _HEADERS | {"ETag": etag}
        known = request.headers.get("if-none-match", "")
        if etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers=headers, media_type=self.media_type)


def add_page(app: FastAPI, repository: Repository, grpc_port: Callable[[], int] | None, metrics: bool) -> None:
    """Serve the page; `metrics` says whether its port has /metrics."""
    version, readme = _installed()
    on_disk = _FILES | {"/": _FOLDER / _INDEX}
    files = {path: _File(file.read_bytes(), _MEDIA_TYPES[file.suffix]) for path, file in on_disk.items()}
    files[_README] = _File(readme.encode(), "text/plain")

    async def answer(file: _File, request: Request) -> Response:
        return file.response(request)

    for path, file in files.items():
        app.add_route(path, partial(answer, file), methods=["GET"], include_in_schema=False)

    @app.get("/about", summary="Where else this server listens", tags=["page"])
    async def about() -> About:
        return About(
            version=version,
            grpc_port=None if grpc_port is None else grpc_port(),
            metrics=metrics,
            masses=_masses({species.pdg for engine in repository for species in engine.card.ranges.species}),
        )

    @app.get("/examples/nearest", summary="Geant4 responses of the nearest test particle", tags=["page"])
    async def nearest(
        pdg: int,
        energy: Annotated[float, Query(ge=1e-9, le=LARGEST, description="total energy [GeV]")],
        x: Annotated[float, Query(ge=-LARGEST, le=LARGEST, description="where the line meets the face [cm]")],
        y: Annotated[float, Query(ge=-LARGEST, le=LARGEST, description="[cm]")],
        calorimeter: Annotated[str, Query(description="name, as in a model card")] = "ZN",
    ) -> NearestReply:
        examples = shipped_examples()
        found = examples.nearest(pdg, energy, (x, y)) if calorimeter == examples.calorimeter.name else None
        return NearestReply(
            source=SOURCE,
            near=found is not None and found.near,
            example=None if found is None else _example(found),
        )


def _masses(codes: set[int]) -> dict[int, float]:
    masses = {}
    for pdg in codes:
        with suppress(OutOfRangeError):  # a model may know a species that the PDG table does not
            masses[pdg] = mass_and_charge(pdg)[0]
    return masses


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
    """Version and README of the package; none where it runs from a checkout that is not installed."""
    try:
        package = metadata.metadata("zdc-fastsim")
    except metadata.PackageNotFoundError:
        return "", "zdc-fastsim is not installed here; its README.md lies in the checkout.\n"
    return package["Version"], str(package.json.get("description", ""))
