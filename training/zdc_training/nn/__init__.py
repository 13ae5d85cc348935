"""Parts of networks that several methods use: geometry, light, normalisation, precision, processes."""
