"""`python -m untrained` runs the command line."""

from untrained.cli import main

if __name__ == "__main__":
    main()
