"""Charts as geometry for their templates."""
