"""Generated and reference showers, particle by particle."""
