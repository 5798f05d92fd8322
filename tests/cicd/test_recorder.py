"""The recorder itself: a program that held a secret is seen, by either way."""

import subprocess
import sys
from pathlib import Path

from tests.cicd.recorder import Recorder


def test_programs_on_path_and_programs_by_their_path_are_seen(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "recorder", "/usr/bin:/bin")
    script = f"ONE=first-secret git --version; TWO=second-secret {sys.executable} -c 'input()'; git --version"
    variables = {"PATH": recorder.wrapped_path}
    with subprocess.Popen(["/bin/sh"], env=variables, stdin=subprocess.PIPE, text=True) as shell:
        assert shell.stdin
        shell.stdin.write(f"{script}\n")
        shell.stdin.flush()
        with recorder.watch(shell.pid):
            while not recorder.holders("second-secret"):
                assert shell.poll() is None
        shell.stdin.write("\nexit\n")
    seen = recorder.holders_by_secret({"one": "first-secret", "two": "second-secret", "none": "no-secret"})
    wrapper = {"sh", "tr"}  # is git's own program before it becomes git
    expected = {"one": {"git"}, "two": {Path(sys.executable).name}, "none": set()}
    assert {name: names - wrapper for name, names in seen.items()} == expected
    assert len([one for one in recorder.started if one.name == "git"]) >= 2  # the watch may have seen them too
