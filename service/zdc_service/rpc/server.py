"""The gRPC server: simulation, the Open Inference Protocol, health and reflection."""

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from zdc_detector.errors import ConfigError

from zdc_service.rpc.inference import SERVICE_NAME as INFERENCE_NAME
from zdc_service.rpc.inference import InferenceService
from zdc_service.rpc.service import SERVICE_NAME, SimulationService
from zdc_service.simulator import Simulator


class RpcServer:
    """A server on one port.

    Attributes
    ----------
    port : Where it listens.
    """

    def __init__(self, simulator: Simulator, host: str, port: int):
        """Bind the port; raises ConfigError where it is taken."""
        # By default gRPC shares a port with other servers silently, and requests would go to either.
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1)])
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._ready = False
        inference = InferenceService(simulator, lambda: self._ready)
        self._server.add_generic_rpc_handlers((SimulationService(simulator).handler(), inference.handler()))
        services = (SERVICE_NAME, INFERENCE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(services, self._server)
        try:
            self.port: int = self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except RuntimeError as error:
            raise ConfigError(f"--grpc-port {port} on {host}: {error}; is another server running?") from error

    async def start(self) -> None:
        """Serve, and say so to health checks."""
        await self._server.start()
        self._ready = True
        for service in ("", SERVICE_NAME, INFERENCE_NAME):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace: float) -> None:
        """Turn NOT_SERVING, finish calls in flight for at most `grace` seconds, close."""
        self._ready = False
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)
