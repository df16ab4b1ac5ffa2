"""From a bundle to the folder that travels: signed, the same bytes on a stick and on a server."""
