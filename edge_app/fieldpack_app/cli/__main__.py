"""`python -m fieldpack_app.cli`: the same as the command."""

from . import main

main()
