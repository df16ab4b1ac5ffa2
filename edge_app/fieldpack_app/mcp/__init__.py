"""The Model Context Protocol over stdin and stdout: lets a program ask, search and read a bundle."""
