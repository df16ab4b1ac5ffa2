"""The knowledge of a bundle, read in place: chunks and words in SQLite, vectors in a matrix."""
