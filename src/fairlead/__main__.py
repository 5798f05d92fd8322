"""`python -m fairlead` and the `fairlead` command."""

from fairlead.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
