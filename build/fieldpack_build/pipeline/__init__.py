"""Runs stages in order, each only if its key has no finished folder. Knows no stage."""
