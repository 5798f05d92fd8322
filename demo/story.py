"""What `make demo` shows: an image is pushed, and ends as a verified release; a broken one ends as the release before.

Every command is safe to repeat, and what is done is written down, so a demo that was interrupted goes on.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from demo.load import Load
from demo.terminal import Terminal
from fairlead.lab import demo
from fairlead.lab.site import Lab, Site
from fairlead.pipeline.runs import directory_of

PATIENT, QUICK = ("settle: 20s", "delay: 15s", "stable_for: 15s"), ("settle: 1s", "delay: 1s", "stable_for: 3s")
IDENTITY = ("git config user.name Ana", "git config user.email ana@example.com")
RUN = "fairlead run -e staging"
ORDER = ("db", "keycloak", "gateway", "frontend", "backend")
WHERE = {
    demo.SMALL: "The application answers on http://{staging}/api/version (staging) and "
    "http://{production}/api/version (production).",
    demo.SHOP: "Look at the application, register there and order something: http://{staging}/ (staging), "
    "http://{production}/ (production).",
}
ROLLED_BACK = 6  # Fairlead's exit code
NEXT = """
── Now it is yours ──
In a terminal of your own:
  export PATH={programs}:$PATH FAIRLEAD_SECRETS_DIR={secrets}
  cd {shop}
for example:
  fairlead lab push backend 1.3.0{options} && fairlead run -e staging
  fairlead promote -e production --from staging && fairlead run -e production
  fairlead lab push backend 1.4.0 --variant wrong-version{options} && fairlead run -e staging
  fairlead detect -e staging --explain
Press Ctrl-C in a run, or kill -9 it, and run it again: it goes on where it was.
{where}

Remove all of it, the checkout too:
  fairlead lab down{option}   (--images: the cached images too; --engine: the Docker engine too, if Fairlead started it)

Honest times: this fairlead.yaml says {quick}, to be quick;
fairlead init writes {patient}.
"""


@dataclass(frozen=True)
class Places:
    """Where things are. site: the lab; its directory goes with `lab down`. option: ` --name NAME`, or nothing.

    stack: the application, demo.SHOP or demo.SMALL.
    """

    site: Site
    option: str
    stack: str = demo.SMALL

    @property
    def of_stack(self) -> str:
        """What a command line needs to mean this application."""
        return stack_option(self.stack)

    @property
    def options(self) -> str:
        """What `lab push` needs."""
        return f"{self.of_stack}{self.option}"

    @property
    def shop(self) -> Path:
        """The checkout of the deployment repository."""
        return self.site.directory / "demo" / "shop"

    @property
    def app(self) -> str:
        """The application's name in fairlead.yaml: nobody else's, so that its runs can be forgotten with the lab."""
        return f"demo-{self.site.name}"

    def address(self, environment: str) -> str:
        """A machine's."""
        return self.site.machines[environment].address


def tell(terminal: Terminal, lab: Lab, stack: str) -> None:
    """All of it, from nothing or from where an earlier demo was interrupted. stack: demo.SHOP or demo.SMALL."""
    places = site(terminal, lab, stack)
    begin(terminal, places, lab.root)
    first_release(terminal)
    second_release(terminal, places)
    promote(terminal)
    broken_release(terminal, places)
    look_back(terminal)
    terminal.say(ending(places))


def stack_option(stack: str) -> str:
    """The small application is what commands take by themselves."""
    return "" if stack == demo.SMALL else f" --stack {stack}"


def site(terminal: Terminal, lab: Lab, stack: str) -> Places:
    """The lab: a registry, a git server, a machine for staging and one for production."""
    terminal.chapter("A site on this machine: a registry, a git server, a machine each for staging and production")
    terminal.run(f"fairlead lab up --demo{stack_option(stack)}{lab.option}", again=True)
    places = Places(lab.site(), lab.option, stack)
    terminal.export("FAIRLEAD_SECRETS_DIR", str(places.site.secrets))
    return places


def begin(terminal: Terminal, places: Places, state: Path) -> None:
    """The application's images, and a deployment repository for them."""
    terminal.chapter("The application: its images, and a deployment repository that init writes")
    for component in ORDER:
        if component in demo.STACKS[places.stack]:
            first = demo.STACKS[demo.SHOP][component]
            terminal.run(f"fairlead lab push {component} {first}{places.options}")
    push = "git push --quiet -u origin main fairlead-scaffold"
    fresh = terminal.pending(push)
    if fresh:
        forget(places, state)
        terminal.run(f"fairlead init --lab {places.site.name}{places.of_stack} --app {places.app} shop", again=True)
    terminal.change_directory(places.shop)
    if fresh:
        for command in (quicker(), *IDENTITY, "git add --all", "git commit --quiet -m Begin"):
            terminal.run(command, again=True)
    terminal.run(push)


def forget(places: Places, state: Path) -> None:
    """A deployment repository that was only half made, and runs for one that went with an earlier lab."""
    runs = directory_of(state, places.app, "staging").parent
    for leftover in (places.shop, places.site.repository(places.app), runs):
        shutil.rmtree(leftover, ignore_errors=True)


def quicker() -> str:
    """The command that makes the waits short enough for a demo."""
    script = "; ".join(f"s/{patient}/{quick}/" for patient, quick in zip(PATIENT, QUICK, strict=True))
    return f"sed -i '{script}' fairlead.yaml"


def first_release(terminal: Terminal) -> None:
    """1.0.0 on staging."""
    terminal.chapter("1.0.0 goes to staging: found, pinned, deployed, verified, proven")
    terminal.run(RUN)


def second_release(terminal: Terminal, places: Places) -> None:
    """1.1.0 on staging, while requests come in."""
    terminal.chapter("1.1.0 is pushed, and replaces 1.0.0 under load")
    terminal.run(f"fairlead lab push backend 1.1.0{places.options}")
    terminal.run(RUN, during=Load(places.address("staging"), terminal.say))


def promote(terminal: Terminal) -> None:
    """What staging has proven, on production."""
    terminal.chapter("Production gets what staging has proven: the same digests")
    terminal.run("fairlead promote -e production --from staging")
    terminal.run("fairlead run -e production")


def broken_release(terminal: Terminal, places: Places) -> None:
    """1.2.0 never becomes healthy: the release before serves on, and is proven again."""
    terminal.chapter("1.2.0 is broken: it never becomes healthy")
    terminal.run(f"fairlead lab push backend 1.2.0 --variant broken{places.options}")
    # 0: an interrupted demo's run ended by itself
    terminal.run(RUN, expect=(ROLLED_BACK, 0), during=Load(places.address("staging"), terminal.say))
    terminal.chapter("1.2.0 is in quarantine: it is not tried again")
    terminal.run(RUN)
    terminal.run("fairlead detect -e staging --explain")


def look_back(terminal: Terminal) -> None:
    """What git knows of it."""
    terminal.chapter("What runs where, and how it came there: all of it is in git")
    for command in ("fairlead status", "fairlead history -e staging", "git pull --quiet", "git show"):
        terminal.run(command, again=True)


def ending(places: Places) -> str:
    """What to do next."""
    return NEXT.format(
        programs=Path(sys.executable).parent,
        secrets=places.site.secrets,
        shop=places.shop,
        option=places.option,
        options=places.options,
        where=WHERE[places.stack].format(staging=places.address("staging"), production=places.address("production")),
        quick=", ".join(QUICK),
        patient=", ".join(PATIENT),
    )
