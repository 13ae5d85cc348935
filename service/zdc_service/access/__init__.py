"""Access control: TLS certificates, bearer tokens, and the addresses on which a server may listen without them."""
