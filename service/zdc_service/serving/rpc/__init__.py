"""The gRPC server: simulation, the Open Inference Protocol, health and reflection."""
