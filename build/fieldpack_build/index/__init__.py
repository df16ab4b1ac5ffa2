"""Writes the index that the runtime reads."""
