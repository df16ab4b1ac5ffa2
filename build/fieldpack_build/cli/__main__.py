"""`python -m fieldpack_build.cli`: the same as the command."""

from . import main

if __name__ == "__main__":
    main()
