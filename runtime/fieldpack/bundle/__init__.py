"""A sealed bundle's files: the manifest, the seal that holds while it is read, its own questions."""
