"""Schema of the JSON answer of `POST /simulate`, for /docs. `zdc_service.codecs` writes the answer itself."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from zdc_detector.finish import Finish
from zdc_detector.frames import Frame


class HitsReply(BaseModel):
    """The fibres with photons. Row m has the entries ``offsets[m]`` to ``offsets[m + 1] - 1``."""

    model_config = ConfigDict(extra="forbid")

    offsets: list[int] = Field(description="Index of each row's first entry; length: number of rows + 1")
    fibre: list[int] = Field(description="Index x * columns + y in the response, with shape = [rows, columns]")
    photons: list[float] = Field(description="Number of photons in that fibre, above zero")


class SimulateReply(BaseModel):
    """One row for each repeat of each simulated particle, in the order of the request."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="Name of the model that was used")
    version: int = Field(description="Version of that model")
    seed: int = Field(description="Seed of the request, or a random one if the request had none")
    first_row: int = Field(description="Same as in the request")
    repeats: int = Field(description="Same as in the request")
    finish: Finish = Field(description="How the model's rates became photon counts; none: the values are the rates")
    frame: Frame = Field(description="Where the particles were given, as in the request")
    shape: tuple[int, int] = Field(description="Number of fibres along x and y")
    channel_names: list[str] = Field(description="Names of the channels, in the order of `channels`")
    particle: list[int] = Field(description="For each row: index of its particle in the request")
    side: list[Literal["A", "C"]] = Field(description="For each row: A if the particle flies to +z, C if to -z")
    channels: list[list[float]] = Field(description="Photon sums, [row][channel]")
    skipped: dict[str, int] = Field(description="Number of particles without rows, by reason")
    extrapolated: dict[str, int] = Field(
        description="Number of particles simulated outside the trained range, by reason"
    )
    # Default factories and no defaults: /docs would show a default, and answers to other outputs do not have the field.
    response: list[list[list[float]]] = Field(
        default_factory=list, description="Photons of each fibre, [row][x][y]; only for output = response"
    )
    hits: HitsReply = Field(
        default_factory=lambda: HitsReply(offsets=[0], fibre=[], photons=[]), description="Only for output = hits"
    )
