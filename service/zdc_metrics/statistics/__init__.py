"""Statistics used by all scores: splits, bootstrap, distances, null bands, tables."""
