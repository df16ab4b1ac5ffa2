"""How chunks become vectors at build time: which engine, at what precision, and the proof that it
agrees."""
