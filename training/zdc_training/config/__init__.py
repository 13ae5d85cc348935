"""The configuration of a training run: sections of a TOML file and their keys."""
