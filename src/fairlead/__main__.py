"""`python -m fairlead` and the `fairlead` command."""

import sys
from typing import NoReturn

from fairlead.cli.early import begun
from fairlead.config.start import begin_quickly


def main() -> NoReturn:
    """The command, with the head start that its arguments allow. What takes long to import is imported after that."""
    begin_quickly()
    with begun(sys.argv[1:]) as ahead:
        from fairlead.cli.main import main as command  # noqa: PLC0415

        command(ahead)


if __name__ == "__main__":
    main()
