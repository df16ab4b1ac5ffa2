"""Measures answers and retrieval, and decides from what was measured."""
