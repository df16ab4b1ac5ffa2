"""`fieldpack serve`: the local page, its API and an OpenAI-compatible one, on this machine's own
address. Opens bundles through `fieldpack`'s public door; imports starlette and uvicorn, so nothing
outside this package imports it at start."""
