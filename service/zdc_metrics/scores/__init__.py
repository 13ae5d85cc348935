"""Figures of merit: how far generated showers are from Geant4's, each with its floor."""
