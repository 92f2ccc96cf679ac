"""`python -m khayal` is the `khayal` command: torchrun starts modules."""

from khayal.cli import main

if __name__ == "__main__":
    main()
