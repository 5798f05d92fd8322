"""Files that several commands of a lab write at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fairlead.lab.secrets import write_whole

CONTENTS = ("a" * 400, "b" * 400)


def test_written_by_two_at_once_it_is_always_whole(tmp_path: Path) -> None:
    path = tmp_path / "ssh_key_staging"
    write_whole(path, CONTENTS[0])

    def write(content: str) -> set[str]:
        seen = set()
        for _ in range(200):
            write_whole(path, content)
            seen.add(path.read_text())
        return seen

    with ThreadPoolExecutor() as pool:
        seen = set().union(*pool.map(write, CONTENTS))
    assert seen <= set(CONTENTS)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    write_whole(path, CONTENTS[0])
    before = path.stat().st_ino
    write_whole(path, CONTENTS[0])
    assert path.stat().st_ino == before
