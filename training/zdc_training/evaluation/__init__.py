"""Figures of merit, pictures and curves of a trained model."""
