"""The gRPC server: calls, streams, health, reflection."""
