"""`python -m fairlead` and the `fairlead` command."""

from fairlead.config.start import begin_quickly

begin_quickly()

from fairlead.cli.main import main  # noqa: E402 - it takes with it what begin_quickly is about

__all__ = ["main"]

if __name__ == "__main__":
    main()
