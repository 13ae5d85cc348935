"""Showers for training: read, converted, checked, split, mirrored."""
