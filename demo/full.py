"""`make demo-full`: as `make demo`, on machines that OpenTofu makes from a template, on the lab's Proxmox.

Both machines are made, one is changed in place, one is destroyed by somebody else and found missing. OpenTofu and its
provider are the real ones; `make demo-full` builds them where neither PATH nor the cache has them.
"""

import argparse
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demo import story
from demo.__main__ import INTERRUPTED, alone
from demo.story import Places
from demo.terminal import Say, Terminal, variables_of
from fairlead.config import layout
from fairlead.config.directories import state_directory
from fairlead.lab.infrastructure import Infrastructure
from fairlead.lab.site import Lab

NAME = "full"  # a lab of its own: `make demo` has machines of another kind
DRIFTED = 1  # exit code of `fairlead drift`
SOMEBODY = Path(__file__).with_name("somebody.py")
MEMORY = ("2048", "3072")  # MiB


@dataclass(frozen=True)
class MadePlaces(Places):
    """Where things are, when OpenTofu makes the machines."""

    @property
    def infrastructure(self) -> Infrastructure:
        """The lab's Proxmox."""
        assert self.site.infrastructure
        return self.site.infrastructure

    def address(self, environment: str) -> str:
        """A machine's."""
        return self.infrastructure.machines[environment].address.partition("/")[0]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.full", description=__doc__)
    parser.add_argument("--lab", default=NAME, help="the lab's name")
    began = time.monotonic()
    try:
        play(parser.parse_args().lab, lambda line: print(line, flush=True), os.environ, colour=sys.stdout.isatty())  # noqa: T201
    except KeyboardInterrupt:
        sys.stderr.write("\ndemo: interrupted; make demo-full goes on where it was\n")
        return INTERRUPTED
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    sys.stderr.write(f"demo: {minutes} min {seconds} s\n")
    return 0


def play(lab: str, say: Say, person: Mapping[str, str], *, colour: bool = False) -> None:
    """The whole story. say: gets each line. person: whose environment it is."""
    place = Lab(lab, state_directory(person))
    with alone(place.directory / "demo") as directory:
        tell(Terminal(directory, say, variables_of(person, colour=colour)), place)


def tell(terminal: Terminal, lab: Lab) -> None:
    """All of it, from nothing or from where an earlier demo was interrupted."""
    places = site(terminal, lab)
    story.begin(terminal, places, lab.root)
    look(terminal)
    story.first_release(terminal)
    story.second_release(terminal, places)
    story.promote(terminal)
    change_in_place(terminal)
    destroyed_outside(terminal, places)
    story.look_back(terminal)
    terminal.say(story.ending(places))


def site(terminal: Terminal, lab: Lab) -> MadePlaces:
    """The lab: a registry, a git server, a Proxmox with a template and no machines, a PostgreSQL for the state."""
    terminal.chapter("A site on this machine: a registry, a git server, a Proxmox, and no machines yet")
    terminal.run(f"fairlead lab up --demo --proxmox{lab.option}", again=True)
    places = MadePlaces(lab.site(), lab.option)
    terminal.export("FAIRLEAD_SECRETS_DIR", str(places.site.secrets))
    terminal.export("SSL_CERT_FILE", str(places.infrastructure.ca_file))
    return places


def look(terminal: Terminal) -> None:
    """What is there, and what OpenTofu would make."""
    terminal.chapter("What is missing? Nothing but the machine; and this is what would be made")
    terminal.run("fairlead doctor -e staging")
    terminal.run("fairlead provision -e staging --plan")


def change_in_place(terminal: Terminal) -> None:
    """More memory for staging: a commit, and the next run."""
    file, (old, new) = layout.tfvars_file("staging"), MEMORY
    terminal.chapter("Staging gets more memory: one line in git, the machine restarts, nothing is lost")
    terminal.run("git pull --quiet")
    terminal.run(f"sed -i '/^memory /s/{old}/{new}/' {file}")
    terminal.run(f"git commit --quiet --message 'More memory for staging' -- {file}")
    terminal.run("git push --quiet")
    terminal.run("fairlead provision -e staging --plan")
    terminal.run(story.RUN)
    terminal.run("fairlead drift -e staging")


def destroyed_outside(terminal: Terminal, places: MadePlaces) -> None:
    """Somebody destroys production's machine; drift says so, and the same release comes back on a new one."""
    vm_id = places.infrastructure.machines["production"].vm_id
    terminal.chapter("Somebody destroys production's machine in Proxmox")
    terminal.run(f"python {SOMEBODY} destroy {vm_id}")
    terminal.run("fairlead drift -e production", expect=(DRIFTED,))
    terminal.chapter("Production comes back: the same release, on a new machine")
    for command in ("provision", "deploy", "verify"):
        terminal.run(f"fairlead {command} -e production")


if __name__ == "__main__":
    sys.exit(main())
