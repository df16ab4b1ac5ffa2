"""Reads what office programs write."""
