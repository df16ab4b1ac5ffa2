"""The field app: the `fieldpack` command. Everything it knows of bundles goes through `fieldpack`'s
public door."""
