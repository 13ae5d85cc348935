"""Statistics below every score: splits, bootstrap, distances, null bands, tables."""
