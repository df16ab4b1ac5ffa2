"""The build server's half: a recipe in, a sealed bundle out."""
