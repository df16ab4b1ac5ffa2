"""The recipe: its schema, its file, and what the runtime needs of it."""
