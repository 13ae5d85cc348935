"""Showers made with Geant4: geometry, physics and light from TOML files, workers as processes, jobs that resume."""
