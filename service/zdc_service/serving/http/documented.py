"""What `POST /simulate` answers as JSON: its page in /docs. `zdc_service.codecs` writes it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from zdc_detector.finish import Finish


class HitsReply(BaseModel):
    """The fibres with photons: row m has the entries ``offsets[m]`` to ``offsets[m + 1] - 1``."""

    model_config = ConfigDict(extra="forbid")

    offsets: list[int] = Field(description="one more than there are rows")
    fibre: list[int] = Field(description="x * columns + y in the response, where shape = [rows, columns]")
    photons: list[float] = Field(description="of that fibre, never zero")


class SimulateReply(BaseModel):
    """One row for each repeat of each particle that was simulated, in the order of the request."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="name of the model that answered")
    version: int = Field(description="its version")
    seed: int = Field(description="the request's, or the one that was drawn")
    first_row: int = Field(description="as in the request")
    repeats: int = Field(description="as in the request")
    finish: Finish = Field(description="how the model's rates became photons; none: they are the rates")
    shape: tuple[int, int] = Field(description="fibres along x and y")
    channel_names: list[str]
    particle: list[int] = Field(description="of each row: index of its particle in the request")
    side: list[Literal["A", "C"]] = Field(description="of each row: A flies to +z, C to -z")
    channels: list[list[float]] = Field(description="photon sums, [row][channel]")
    skipped: dict[str, int] = Field(description="particles without rows, counted by reason")
    extrapolated: dict[str, int] = Field(description="particles outside the trained energies or vertices, by reason")
    # No defaults, which a page in /docs would show: these two are absent from answers to other outputs.
    response: list[list[list[float]]] = Field(
        default_factory=list, description="photons of each fibre, [row][x][y]; for output = response"
    )
    hits: HitsReply = Field(
        default_factory=lambda: HitsReply(offsets=[0], fibre=[], photons=[]), description="for output = hits"
    )
