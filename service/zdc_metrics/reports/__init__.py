"""Validation reports: histograms, ratios, pictures of the face, HTML pages."""
