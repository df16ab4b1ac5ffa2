"""Text on a terminal and from it: answers, excerpts, marks, the line that is typed."""
