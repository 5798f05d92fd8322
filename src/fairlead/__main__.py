"""`python -m fairlead` and the `fairlead` command."""

import sys
from typing import NoReturn

from fairlead.cli.leaving import leave_after
from fairlead.config.start import begin_quickly
from fairlead.process import signals_held


def main() -> NoReturn:
    """The command, and the end of the process with its exit code."""
    begin_quickly()
    leave_after(_command)


def _command() -> object:
    """Provision without typer, where the line is plain enough. From here on a signal ends the command in order."""
    with signals_held():
        from fairlead.cli.early import begun, plain_provisioning  # noqa: PLC0415
        from fairlead.cli.provisioning import provision  # noqa: PLC0415
        from fairlead.config.variables import read_variables  # noqa: PLC0415
    variables = read_variables()
    asked = plain_provisioning(sys.argv[1:], variables.options)
    if asked is None:
        with signals_held():
            from fairlead.cli.main import command  # noqa: PLC0415
        return command()
    with begun(asked, variables) as ahead:
        provision(asked, ahead)
    return None


if __name__ == "__main__":
    main()
