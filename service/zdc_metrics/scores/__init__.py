"""Figures of merit: how far generated showers are from Geant4's, beside their floor."""
