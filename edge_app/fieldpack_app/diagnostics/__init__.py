"""Whether a bundle is well on this machine, and how fast: doctor and bench."""
