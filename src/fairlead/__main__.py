"""`python -m fairlead` and the `fairlead` command."""

import sys
from typing import NoReturn

from fairlead.cli.early import begun, plain_provisioning
from fairlead.cli.leaving import leave_after
from fairlead.cli.provisioning import provision
from fairlead.config.start import begin_quickly
from fairlead.config.variables import read_variables


def main() -> NoReturn:
    """The command. Where its line is plain enough, provisioning begins before anything is imported for long."""
    begin_quickly()
    variables = read_variables()
    asked = plain_provisioning(sys.argv[1:], variables.options)
    if asked is None:
        from fairlead.cli.main import command  # noqa: PLC0415

        leave_after(command)
    with begun(asked, variables) as ahead:
        leave_after(lambda: provision(asked, ahead))


if __name__ == "__main__":
    main()
