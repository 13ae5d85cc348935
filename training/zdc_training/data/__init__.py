"""Showers for training: read, convert, check, split, and apply symmetries."""
