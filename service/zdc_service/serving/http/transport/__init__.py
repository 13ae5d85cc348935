"""HTTP/1.1 over TCP and TLS: from the bytes of connections to an ASGI application and back."""
