"""Releases on a device: taken from a stick or a server, checked by signature, kept side by side,
switched by one pointer."""
