"""A folder of documents on its way into the index: read by a pool of processes, embedded in
windows, changed in place. The knowledge stage puts these together. Knows nothing of formats, and of
the index only how documents go in."""
