"""Simulate from Python over gRPC, over HTTP or in this process: jobs of any size, NumPy arrays in and out.

>>> with connect("grpc://127.0.0.1:8001") as client:
...     result = client.run({"pdg": [2112], "px": [0.1], "py": [0.0], "pz": [1500.0]}, seed=7, repeats=10)
>>> result.channels.shape, result.images.shape
((10, 5), (10, 44, 44))

`connect_async` returns the same client for asyncio. `Client.simulate` yields a large result in chunks; `Client.run`
returns all rows at once.
"""

from zdc_common.errors import (
    ConfigError,
    DeadlineError,
    ForbiddenError,
    InvalidInputError,
    ModelNotFoundError,
    NotReadyError,
    OutOfRangeError,
    OverloadedError,
    TooLargeError,
    UnauthenticatedError,
    ZdcError,
)
from zdc_detector.frames import Frame
from zdc_detector.hits import Hits
from zdc_detector.particles import Particles

from zdc_service.client.async_base import AsyncClient
from zdc_service.client.base import Client
from zdc_service.client.chunks import Chunk, concatenate
from zdc_service.client.connect import connect, connect_async
from zdc_service.client.model_facts import ModelFacts
from zdc_service.client.options import ClientOptions
from zdc_service.client.particles import ParticlesLike
from zdc_service.simulation import OutOfRange, Output

__all__ = [
    "AsyncClient",
    "Chunk",
    "Client",
    "ClientOptions",
    "ConfigError",
    "DeadlineError",
    "ForbiddenError",
    "Frame",
    "Hits",
    "InvalidInputError",
    "ModelFacts",
    "ModelNotFoundError",
    "NotReadyError",
    "OutOfRange",
    "OutOfRangeError",
    "Output",
    "OverloadedError",
    "Particles",
    "ParticlesLike",
    "TooLargeError",
    "UnauthenticatedError",
    "ZdcError",
    "concatenate",
    "connect",
    "connect_async",
]
