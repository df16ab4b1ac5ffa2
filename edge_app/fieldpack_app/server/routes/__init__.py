"""One module a route or family of routes."""
