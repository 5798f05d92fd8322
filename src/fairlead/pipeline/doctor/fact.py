"""One fact, and how many of them are found out side by side."""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fairlead import process
from fairlead.errors import FairleadError
from fairlead.process import Mask

LONGEST = 600


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that has to hold.

    fact: its name. detail: what was seen, one line. remedy: what mends it; a fact that holds and has a remedy is a
    warning. configuration: without it no command can work (exit 2).
    """

    fact: str
    ok: bool
    detail: str = ""
    remedy: str = ""
    configuration: bool = False

    @property
    def is_warning(self) -> bool:
        """Whether it holds, but not well."""
        return self.ok and bool(self.remedy)

    def as_json(self) -> dict[str, object]:
        """For --json."""
        return {"fact": self.fact, "ok": self.ok, "detail": self.detail, "remedy": self.remedy}

    def masked(self, mask: Mask) -> "Fact":
        """The same without secrets, each text on one line."""
        return Fact(self.fact, self.ok, _line(mask(self.detail)), _line(mask(self.remedy)), self.configuration)


Question = Callable[[], Iterable[Fact]]


def fails(fact: str, error: FairleadError, *, configuration: bool = False) -> Fact:
    """A fact that does not hold, in the error's words."""
    detail = ": ".join(filter(None, (error.what, error.why)))
    return Fact(fact, False, detail, error.remedy or "fairlead --help", configuration)


def side_by_side(questions: Collection[Question]) -> Iterator[Fact]:
    """The answers in the order of the questions, each as soon as the ones before it are there."""
    if not questions:
        return
    with ThreadPoolExecutor(max_workers=min(len(questions), 16)) as pool:
        try:
            for answers in pool.map(lambda question: list(question()), questions):
                yield from answers
        except KeyboardInterrupt:
            process.interrupt()  # what still runs in the threads is stopped in order, so that the pool can end
            raise


def exit_code(facts: Iterable[Fact]) -> int:
    """0 all hold, 1 some do not, 2 the configuration cannot be used."""
    broken = [fact for fact in facts if not fact.ok]
    if any(fact.configuration for fact in broken):
        return 2
    return 1 if broken else 0


def _line(text: str) -> str:
    """One line, of bounded length: a machine or a server may say anything."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
