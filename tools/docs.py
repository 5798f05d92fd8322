"""The generated pages of docs/: commands from the command line, settings from the schema, errors from their classes.

`make docs` writes them and the terminal sessions; tests compare them with what this module says. The demo takes
minutes, so its session is recorded anew only by `make docs DEMO=1`.
"""

import functools
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead import errors
from fairlead.cli.documents import DOCUMENTS, document_schema
from fairlead.cli.output import error_document
from fairlead.config.schema import configuration_schema
from fairlead.errors import FairleadError
from tools.faults import faults_page, matrix_page

if TYPE_CHECKING:
    from demo.first_bump import Recording

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs/reference"
COLUMNS = "100"
EXIT_CODES = {
    0: "done, or nothing to do",
    1: "failed; repeating may help where the error says so",
    2: "the call or the configuration has to change first",
    3: "the release failed and still stands",
    4: "busy: another holder is at work, and is named",
    5: "waiting: for what, and since when, is said (settle, together, cooldown, approval, soak, freeze)",
    6: "the release failed, and the previous one is proven again",
    130: "interrupted by Ctrl-C, a SIGTERM or a SIGHUP, after what was running had been stopped in order",
}


README = ROOT / "README.md"
FIRST_BUMP = ROOT / "docs/tutorial/first-bump.md"
DEMO = ROOT / "docs/tutorial/demo.md"
SHOWN = ("1.1.0 is pushed", "1.2.0", "What runs where")  # chapters of the demo that the README shows
CUT = "$ git pull"  # and up to where
JSON_PAGE = REFERENCE / "json.md"
SESSION = re.compile(r"(?<=<!-- session: made by `make docs` -->\n).*?(?=<!-- end of session -->)", re.DOTALL)
CHANGING = re.compile(
    r"\b\d{8}-\d{6}-\w+"  # a run
    r"|\w{3} \w{3} +\d+ [\d:]+ \d{4} \S+|\b\d{4}-\d\d-\d\d \d\d:\d\d\b"  # git's dates, Fairlead's
    r"|\b[0-9a-f]{7,64}\b"  # a commit, a digest
)


def main() -> None:
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page())
    if "--demo" in sys.argv[1:]:
        write_session(DEMO, recorded_demo())
    write_session(README, excerpt(session_of(DEMO)))
    if masked(session_of(FIRST_BUMP)) != masked(recorded().session):
        write_session(FIRST_BUMP, recorded().session)
    if shapes(JSON_PAGE.read_text() if JSON_PAGE.exists() else "") != shapes(json_page()):
        JSON_PAGE.write_text(json_page())


@functools.cache
def recorded() -> "Recording":
    """Detect and bump, run once for all pages that show what commands print."""
    from demo.first_bump import record

    return record()


def recorded_demo() -> str:
    """`make demo SMALL=1`, from nothing, in a lab of its own that is gone afterwards; with a person's paths."""
    from demo.__main__ import play
    from fairlead.lab.demo import SMALL
    from fairlead.lab.site import Lab

    name, lines = f"docs-{os.getpid()}", list[str]()
    with tempfile.TemporaryDirectory(prefix="fairlead-docs-") as state:
        try:
            play(name, SMALL, lines.append, {**os.environ, "FAIRLEAD_STATE_DIR": state})
        finally:
            Lab(name, Path(state)).down()
    return as_a_person_sees("\n".join(lines), name, Path(state))


def as_a_person_sees(session: str, lab: str, state: Path) -> str:
    """A demo's session as it is with the usual lab and state directory, in a checkout in the home directory."""
    from fairlead.lab.existing import DEFAULT_NAME

    own = {str(state): "~/.local/state/fairlead", str(ROOT): "~/fairlead", f" --name {lab}": "", lab: DEFAULT_NAME}
    for found, usual in own.items():
        session = session.replace(found, usual)
    return re.sub(r"\b10\.77\.\d+\.", "10.77.0.", session)


def session_of(page: Path) -> str:
    """The terminal session on a page; "" where it has none yet."""
    found = SESSION.search(page.read_text())
    return found[0].strip().removeprefix("```console\n").removesuffix("\n```") if found else ""


def write_session(page: Path, session: str) -> None:
    """Put a session where the page has its place for one."""
    page.write_text(SESSION.sub(lambda _: f"\n```console\n{session.strip()}\n```\n\n", page.read_text()))


def chapters(session: str) -> list[str]:
    """The demo's session in its chapters, each with its title first."""
    return [part.strip() for part in re.split(r"^(?=── )", session, flags=re.MULTILINE) if part.strip()]


def excerpt(session: str) -> str:
    """What the README shows of the demo."""
    shown = [part for part in chapters(session) if part.startswith(tuple(f"── {title}" for title in SHOWN))]
    return "\n\n".join(shown).partition(CUT)[0].strip()


def outline(sessions: Iterable[str]) -> list[tuple[str, str]]:
    """Chapter and command of everything that was done, once each: what does not differ from one time to the next.

    A demo that was interrupted has several sessions.
    """
    parts = [part for session in sessions for part in chapters(session)]
    steps = [(part.partition("\n")[0], line) for part in parts for line in part.splitlines() if line.startswith("$ ")]
    return list(dict.fromkeys(steps))


def json_page() -> str:
    """What `--json` prints, by example, and what an error is."""
    lines = [
        _heading("JSON documents", "`demo/first_bump.py`"),
        "With `--json` a command prints exactly one document on stdout, and everything for people on stderr. `version` "
        "is raised when a key changes its meaning or goes; new keys may come at any time.",
    ]
    for command, document in recorded().documents.items():
        lines += [f"## `{command} --json`", _json(document)]
    error = errors.RegistryUnreachable("registry.example.com does not answer", why="connection refused", remedy="…")
    problem = error_document(error)
    lines += ["## Any command that fails", "`error` is a problem document (RFC 9457).", _json(problem)]
    return _page(lines)


def shapes(page: str) -> list[object]:
    """The keys of each JSON block of a page, all the way down; values differ from one time to the next."""
    return [_shape(json.loads(block)) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return {key: _shape(part) for key, part in value.items()}
    return [_shape(part) for part in value[:1]] if isinstance(value, list) else None


def _json(document: object) -> str:
    return f"```json\n{json.dumps(document, indent=2, ensure_ascii=False)}\n```"


def masked(session: str) -> str:
    """The session without what differs from one time to the next: hashes, names of runs, dates and times."""
    return re.sub(r" {2,}", "  ", CHANGING.sub("#", session))


def commands_page() -> str:
    """Every command with the help that it prints."""
    lines = [_heading("Commands", "`src/fairlead/cli/`")]
    lines += [
        "Exit codes are a contract: see [exit codes](exit-codes.md). Every command that has a result takes `--json`."
    ]
    for words in command_names():
        lines += [f"## {' '.join(('fairlead', *words))}", _block(_help(words))]
    return _page(lines)


def command_names() -> list[tuple[str, ...]]:
    """Every command as its words: `("detect",)`, `("lab", "up")`; first the empty one, fairlead itself."""
    from typer.main import get_command

    from fairlead.cli.main import app

    return list(_named(get_command(app), ()))


def _named(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not getattr(command, "hidden", False):
        yield words
        for name, child in getattr(command, "commands", {}).items():
            yield from _named(child, (*words, name))


def _help(words: tuple[str, ...]) -> str:
    """What `--help` prints, at one width and without colour, whatever terminal this runs in."""
    asked = [sys.executable, "-m", "fairlead", *words, "--help"]
    plain = {"COLUMNS": COLUMNS, "TERMINAL_WIDTH": COLUMNS, "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    printed = subprocess.run(asked, capture_output=True, text=True, check=True, env=plain).stdout
    return printed.replace("python -m fairlead", "fairlead")


def settings_page() -> str:
    """Every key of fairlead.yaml: what it takes, its default, what it means."""
    schema = configuration_schema()
    lines = [
        _heading("Settings of fairlead.yaml", "`src/fairlead/config/models.py`"),
        "The annotated example is [fairlead.yaml](fairlead.yaml); `fairlead schema` prints the JSON Schema, with which "
        "editors complete and check the file. `*` stands for a name that you choose. A duration is a number with "
        "`ms`, `s`, `m`, `h`, `d` or `w`.",
    ]
    for path, model in models(schema):
        lines += [
            f"## `{path or 'fairlead.yaml'}`{_kind(model)}",
            str(model.get("description", "")),
            _settings_table(schema, model),
        ]
    return _page(lines)


def models(schema: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Every mapping of the file with its path (`images.*.policy`), parents before children, in the file's order."""
    return [("", schema), *list(_below(schema, schema, ""))[1:]]


def _below(schema: Mapping[str, Any], model: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, model
    for key, setting in model.get("properties", {}).items():
        for suffix, name in _references(setting):
            yield from _below(schema, schema["$defs"][name], f"{path}.{key}{suffix}".removeprefix("."))


def _references(setting: Any, suffix: str = "") -> Iterator[tuple[str, str]]:
    """The models that a setting's value may be, each with what its path gets: `.*` in a mapping, `[]` in a list."""
    if "$ref" in setting:
        yield suffix, setting["$ref"].rpartition("/")[2]
    for choice in (*setting.get("anyOf", ()), *setting.get("oneOf", ())):
        yield from _references(choice, suffix)
    if (named := _named_values(setting)) is not None:
        yield from _references(named, f"{suffix}.*")
    if "items" in setting:
        yield from _references(setting["items"], f"{suffix}[]")


def _named_values(setting: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What stands under each name of a mapping whose names the author chooses."""
    values = [*setting.get("patternProperties", {}).values(), setting.get("additionalProperties")]
    return next((value for value in values if isinstance(value, dict)), None)


def _kind(model: Mapping[str, Any]) -> str:
    """What tells models apart that stand at one path: `with: static`, `semver`."""
    settings = model.get("properties", {})
    if "const" in settings.get("with", {}):
        return f" (with: {settings['with']['const']})"
    return f" ({next(iter(settings))})" if str(model.get("title")).endswith(("Policy", "Check")) else ""


def _settings_table(schema: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    needed = model.get("required", ())
    rows = [
        (f"`{key}`", _takes(setting), "required" if key in needed else _default(setting), meaning(schema, setting))
        for key, setting in model.get("properties", {}).items()
    ]
    return _table(("key", "takes", "default", "meaning"), rows)


def meaning(schema: Mapping[str, Any], setting: Mapping[str, Any]) -> str:
    """A setting's sentence; one that is a mapping borrows the mapping's."""
    names = [name for _, name in _references(setting)]
    borrowed = schema["$defs"][names[0]].get("description", "") if len(names) == 1 else ""
    return str(setting.get("description") or borrowed)


def _takes(setting: Mapping[str, Any]) -> str:
    """A setting's values in words."""
    choices = [*setting.get("anyOf", ()), *setting.get("oneOf", ())]
    if choices:
        return " or ".join(dict.fromkeys(_takes(choice) for choice in choices if choice.get("type") != "null"))
    if "$ref" in setting:
        return "a mapping, below"
    if _named_values(setting) is not None:
        return "a mapping of names"
    if setting.get("type") == "array":
        return "a list" if "$ref" in str(setting["items"]) else f"a list of {_takes(setting['items'])}"
    return "duration" if _is_duration(setting) else _takes_one(setting)


def _takes_one(setting: Mapping[str, Any]) -> str:
    """A plain setting's values: the ones that are allowed, else its type."""
    values = setting.get("enum", [setting["const"]] if "const" in setting else [])
    if values:
        return " or ".join(f"`{value}`" for value in values)
    kinds = setting.get("type", "value")
    return " or ".join(kinds if isinstance(kinds, list) else [kinds]).replace("object", "a mapping")


def _is_duration(setting: Mapping[str, Any]) -> bool:
    return "(ms|s|m|h|d|w)" in setting.get("pattern", "")


def _default(setting: Mapping[str, Any]) -> str:
    value = setting.get("default")
    if value in (None, {}, []) or isinstance(value, dict):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def errors_page() -> str:
    """Every error code: what it means, its exit code, whether repeating the same call may help."""
    tree = (errors.__doc__ or "").partition("\n\n")[2].strip()
    lines = [
        _heading("Errors", "`src/fairlead/errors.py`"),
        "An error says what happened, why, and what to do; its code is stable and is a heading on this page. With "
        "`--json` the same parts are a problem document (RFC 9457). *Repeating may help* means: the same call may "
        "succeed later without any change.",
        _block(tree),
    ]
    for kind in error_kinds():
        repeats = "repeating may help" if kind.retryable else "something has to change first"
        meaning = " ".join(inspect.cleandoc(kind.__doc__ or "").split())
        lines += [f"## {kind.code}", meaning, f"`{kind.__name__}`, exit code {kind.exit_code}; {repeats}."]
    return _page(lines)


def error_kinds() -> list[type[FairleadError]]:
    """Every error with a code, in the order of the file."""
    kinds = (kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, FairleadError))
    return sorted((kind for kind in kinds if "code" in vars(kind)), key=lambda kind: inspect.getsourcelines(kind)[1])


def exit_codes_page() -> str:
    """Every exit code, and the errors that lead to it."""
    kinds = error_kinds()
    rows = [
        (
            str(number),
            says,
            " ".join(f"[{kind.code}](errors.md#{kind.code.lower()})" for kind in kinds if kind.exit_code == number),
        )
        for number, says in EXIT_CODES.items()
    ]
    lines = [
        _heading("Exit codes", "`src/fairlead/errors.py` and `tools/docs.py`"),
        "They are a contract: a Jenkinsfile or a pipeline may branch on them.",
        _table(("code", "meaning", "errors"), rows),
    ]
    return _page(lines)


def schema_file(name: str) -> str:
    """The JSON Schema of a stage command's document."""
    return json.dumps(document_schema(name), indent=2) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "errors.md": errors_page,
    "exit-codes.md": exit_codes_page,
    "faults.md": faults_page,
    "kill-matrix.md": matrix_page,
    **{f"schemas/{name}.json": functools.partial(schema_file, name) for name in DOCUMENTS},
}


def _heading(title: str, source: str) -> str:
    return f"# {title}\n\nMade by `make docs` from {source}."


def _block(text: str) -> str:
    return f"```text\n{text.strip()}\n```"


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _page(parts: list[str]) -> str:
    return "\n\n".join(filter(None, parts)) + "\n"


if __name__ == "__main__":
    main()
