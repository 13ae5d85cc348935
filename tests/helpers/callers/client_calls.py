"""Calls of the Python clients, with threads and asyncio."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from helpers.models.tiny_model import some_particles
from zdc_service.client import Chunk, ClientOptions, connect, connect_async

PARTICLES = some_particles(40)

Run = Callable[..., Chunk]


def run_sync(url: str, **options: Any) -> Chunk:
    """Simulate `PARTICLES` with `connect`; `options` of `ClientOptions`."""
    with connect(url, ClientOptions(**options)) as client:
        return client.run(PARTICLES, seed=1)


def run_async(url: str, **options: Any) -> Chunk:
    """Simulate `PARTICLES` with `connect_async`; `options` of `ClientOptions`."""

    async def job() -> Chunk:
        async with connect_async(url, ClientOptions(**options)) as client:
            return await client.run(PARTICLES, seed=1)

    return asyncio.run(job())


both = pytest.mark.parametrize("run", [run_sync, run_async])
