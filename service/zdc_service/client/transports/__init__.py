"""The clients over gRPC, over HTTP, and in this process."""
