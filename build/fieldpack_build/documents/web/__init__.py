"""Reads web pages, e-books and e-mails."""
