"""``python -m firstgrad``: the command line."""

from firstgrad.cli import main

if __name__ == "__main__":
    main()
