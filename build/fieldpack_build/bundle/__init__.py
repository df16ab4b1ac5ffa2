"""Lays finished stages out as a bundle, and brings it to where the user wants it."""
