"""Simulate from Python: over gRPC, over HTTP or in process, jobs of any size, numpy in and out.

>>> with connect("grpc://127.0.0.1:8001") as client:
...     for chunk in client.simulate(particles, seed=7):
...         print(chunk.channels.sum(axis=0))
"""

from zdc_service.client.base import Client, ClientOptions
from zdc_service.client.chunks import Chunk, concatenate
from zdc_service.client.connect import connect

__all__ = ["Chunk", "Client", "ClientOptions", "concatenate", "connect"]
