"""The house rules that no ready-made linter holds: who may use what, sizes of functions, words, left-overs.

Each rule is a function that yields findings for one file; `check` runs them all. The import layers are import-linter's
(pyproject.toml). docs/explanation/house-rules.md says why each rule stands.
"""

import ast
import itertools
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from statistics import median, quantiles

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = "src/fairlead/"
ELSEWHERE = "/files/"  # below a folder of this name lies code that runs on another machine, with other rules

# Package -> the only places of the product that may import it.
OWNERS = {
    "dbos": ("pipeline/",),
    "ansible": ("deploy/callback/",),  # GPL-3.0: it runs as a program of its own, and only its plugin imports it
    "subprocess": ("process.py",),
    "multiprocessing": (),
    "pty": (),
}
ENVIRONMENT_READERS = ("config/", "process.py")
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.getenvb"}
STARTERS = re.compile(r"os\.(system|popen|exec[lv]\w*|spawn[lv]\w*|posix_spawnp?)|asyncio\.create_subprocess_\w+")
SHELLS = {"sh", "bash", "dash", "ash", "zsh", "/bin/sh", "/bin/bash", "/usr/bin/env sh"}

MEDIAN_LINES, MOST_LINES, LONGEST_LINES = 8, 40, 50  # of functions: median, 95th percentile, any
VAGUE_NAMES = {name + plural for name in ("util", "helper", "common", "misc", "manager") for plural in ("", "s")}
LEFT_OVER = re.compile(r"\b(TO-?DO|FIX-?ME|X{3})\b")
DODGED_TEST = re.compile(
    r"pytest\.(mark\.)?(skip|xfail)|importorskip|unittest\.skip|\b\w*Mock\(|mock\.patch|monkeypatch\.setattr"
)
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|farm|root)/")
HOST = re.compile(r"(?:https?://|^)([a-z0-9-]+(?:\.[a-z0-9-]+)+\.[a-z]{2,})", re.MULTILINE)
PACKAGE_CLIENTS = (("pip", "config", "list"), ("npm", "config", "get", "registry"), ("go", "env", "GOPROXY", "GOSUMDB"))


@dataclass(frozen=True)
class Source:
    """One file of the tree: its path relative to the root, and its text."""

    name: str
    text: str

    @property
    def is_python(self) -> bool:
        return self.name.endswith(".py")

    @property
    def place(self) -> str | None:
        """Where in the product's own package it lies (`config/load.py`), None outside."""
        inside = self.is_python and self.name.startswith(PRODUCT) and ELSEWHERE not in self.name
        return self.name.removeprefix(PRODUCT) if inside else None

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(ast.parse(self.text, self.name)))

    def at(self, node: ast.stmt | ast.expr, what: str) -> str:
        return f"{self.name}:{node.lineno}: {what}"


Rule = Callable[[Source], Iterable[str]]


def foreign_imports(source: Source) -> Iterator[str]:
    """A package with one owner is imported by its owner alone."""
    for node in source.nodes if source.place else ():
        for package in _imported(node):
            owners = OWNERS.get(package.split(".")[0])
            if owners is not None and not _within(source, owners):
                assert isinstance(node, ast.stmt)
                yield source.at(node, f"imports {package}, which only {' and '.join(owners) or 'nobody'} may")


def environment_reads(source: Source) -> Iterator[str]:
    """Configuration comes from config/; a hidden variable elsewhere is a setting that no page names."""
    if source.place and not _within(source, ENVIRONMENT_READERS):
        for node in source.nodes:
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ENVIRONMENT:
                yield source.at(node, f"reads {ast.unparse(node)}; only {' and '.join(ENVIRONMENT_READERS)} may")
            if isinstance(node, ast.ImportFrom) and node.module == "os":
                taken = [name.name for name in node.names if f"os.{name.name}" in ENVIRONMENT]
                yield from (source.at(node, f"imports os.{name}; read variables in config/") for name in taken)


def shells(source: Source) -> Iterator[str]:
    """Programs get an argv list; no text is ever parsed by a shell."""
    for node in source.nodes if source.is_python else ():
        if isinstance(node, ast.keyword) and node.arg == "shell" and ast.unparse(node.value) != "False":
            yield source.at(node.value, "passes shell=")
        if isinstance(node, ast.List | ast.Tuple) and _asks_for_a_shell(node.elts):
            yield source.at(node, "hands a text to a shell")
        if isinstance(node, ast.Call) and source.place and STARTERS.fullmatch(ast.unparse(node.func)):
            yield source.at(node, f"calls {ast.unparse(node.func)}; programs are started by process.py")


def vague_names(source: Source) -> Iterator[str]:
    """A module is named for what it knows."""
    vague = {PurePosixPath(part).stem for part in PurePosixPath(source.name).parts} & VAGUE_NAMES
    yield from (f"{source.name}: '{name}' names nothing" for name in vague)


def left_overs(source: Source) -> Iterator[str]:
    """What is not done is an issue, not a comment; what machine it was written on concerns nobody."""
    for pattern, what in ((LEFT_OVER, "left over"), (MACHINE_PATH, "a path of one machine")):
        if pattern is LEFT_OVER and source.name.endswith((".md", ".txt", ".lock")):
            continue
        yield from _matches(source, pattern, what)


def dodged_tests(source: Source) -> Iterator[str]:
    """Tests use the real thing, and a missing tool is a failing test."""
    if source.name.startswith("tests/") and not source.name.startswith("tests/house/"):
        yield from _matches(source, DODGED_TEST, "a test that does not test")


RULES: tuple[Rule, ...] = (foreign_imports, environment_reads, shells, vague_names, left_overs, dodged_tests)


def check(sources: Iterable[Source], hosts: Iterable[str] = ()) -> list[str]:
    """Everything that breaks a rule, one line each. hosts: package registries that no file may name."""
    sources = list(sources)
    findings = [finding for source in sources for rule in RULES for finding in rule(source)]
    if named := "|".join(map(re.escape, hosts)):
        findings += [line for source in sources for line in _matches(source, re.compile(named), "a package registry")]
    return findings + oversized(sizes(sources))


def sizes(sources: Iterable[Source]) -> list[tuple[int, str]]:
    """Lines of every function of the product, longest first, each with its place."""
    functions = (
        (source, node)
        for source in sources
        if source.is_python and source.name.startswith("src/")
        for node in source.nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    measured = ((1 + (node.end_lineno or 0) - node.lineno, source.at(node, node.name)) for source, node in functions)
    return sorted(measured, reverse=True)


def oversized(measured: list[tuple[int, str]]) -> list[str]:
    """Where the functions are longer than the design allows."""
    findings = [
        f"{where} has {lines} lines; at most {LONGEST_LINES}" for lines, where in measured if lines > LONGEST_LINES
    ]
    middle, most = spread(measured)
    if middle > MEDIAN_LINES:
        findings.append(f"the median function has {middle:g} lines; at most {MEDIAN_LINES}")
    if most > MOST_LINES:
        findings.append(f"the 95th percentile of functions is {most:g} lines; at most {MOST_LINES}")
    return findings


def spread(measured: list[tuple[int, str]]) -> tuple[float, float]:
    """Median and 95th percentile of the functions' lines."""
    lines = [size for size, _ in measured]
    return (median(lines), quantiles(lines, n=20)[-1]) if len(lines) > 1 else (0, 0)


def tree(root: Path) -> Iterator[Source]:
    """Every text file that git tracks or would track."""
    listed = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
        text=True,
    )
    for name in sorted(set(filter(None, listed.stdout.split("\0")))):
        try:
            yield Source(name, (root / name).read_text())
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue


def registry_hosts() -> set[str]:
    """The hosts that this machine's own package clients use: none of them may be written into a file."""
    said = [
        subprocess.run(ask, capture_output=True, text=True, check=False).stdout
        for ask in PACKAGE_CLIENTS
        if shutil.which(ask[0])
    ]
    lists = Path("/etc/apt").glob("sources.list.d/*")
    said += [
        re.sub("^#.*", "", path.read_text(), flags=re.MULTILINE)
        for path in (Path("/etc/apt/sources.list"), *lists)
        if path.is_file()
    ]
    return set(HOST.findall("\n".join(said)))


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []


def _within(source: Source, places: Iterable[str]) -> bool:
    return (source.place or "").startswith(tuple(places))


def _asks_for_a_shell(words: list[ast.expr]) -> bool:
    """Whether two neighbours are a shell and an option with `c`: also behind `docker exec NAME`."""
    texts = [word.value if isinstance(word, ast.Constant) else None for word in words]
    pairs = itertools.pairwise(texts)
    return any(
        first in SHELLS and isinstance(second, str) and re.fullmatch(r"-\w*c\w*", second) for first, second in pairs
    )


def _matches(source: Source, pattern: re.Pattern[str], what: str) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if match := pattern.search(line):
            yield f"{source.name}:{number}: {what}: {match[0]}"


def main() -> int:
    sources = list(tree(ROOT))
    findings = check(sources, registry_hosts())
    print("\n".join(findings), end="\n" if findings else "", file=sys.stderr)
    measured = sizes(sources)
    middle, most = spread(measured)
    longest = "; ".join(f"{where} ({lines})" for lines, where in measured[:3])
    print(f"{len(measured)} functions: median {middle:g} lines, 95th percentile {most:g}; longest: {longest}")
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
