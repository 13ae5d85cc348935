"""The server: HTTP, gRPC and the Open Inference Protocol, with limits and access control."""
