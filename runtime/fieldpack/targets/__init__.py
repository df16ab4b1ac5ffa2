"""Chooses what a bundle's language model runs on, of the targets that its manifest names."""
