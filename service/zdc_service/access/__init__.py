"""Who may call: certificates, bearer tokens, and where a server may listen without them."""
