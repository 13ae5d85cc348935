"""An HTTP/1.1 server over TCP and TLS that runs an ASGI application."""
