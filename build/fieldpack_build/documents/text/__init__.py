"""Reads plain text, Markdown, tables and records."""
