"""`python -m cnnspec` is the `cnnspec` command."""

from cnnspec.cli import main

if __name__ == "__main__":
    main(prog_name="cnnspec")
