"""The server: HTTP, gRPC and the Open Inference Protocol on sockets, with limits and access."""
