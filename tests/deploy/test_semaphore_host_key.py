"""Which host key a task is told, and how ssh reads it."""

import shlex
import subprocess
from pathlib import Path

import pytest

from fairlead.deploy.semaphore.host_key import ssh_variables
from tests.test_host_keys import ONE as REAL

ED25519, RSA = f"ssh-ed25519 {'A' * 68}", f"ssh-rsa {'B' * 372}"
KNOWN = f"# a remark\n192.0.2.10 {RSA}\n192.0.2.10,app.example.com {ED25519} app\n[192.0.2.10]:2222 {RSA}\n"


def command(known_hosts: str, port: int = 22) -> str:
    """What ssh itself makes of the options."""
    [options] = set(ssh_variables(known_hosts, "192.0.2.10", port).values())
    words = ["ssh", "-F", "none", "-G", *shlex.split(options), "192.0.2.10"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return next(line for line in said.splitlines() if line.startswith("knownhostscommand "))


def test_the_preferred_key_of_the_machine_is_told() -> None:
    assert command(KNOWN) == f"knownhostscommand /bin/echo 192.0.2.10 {ED25519}"
    assert command(KNOWN, 2222) == f"knownhostscommand /bin/echo [192.0.2.10]:2222 {RSA}"


def test_the_key_of_a_hashed_line_is_told(tmp_path: Path) -> None:
    """As `ssh-keyscan -H` and HashKnownHosts write it."""
    file = tmp_path / "known_hosts"
    file.write_text(f"192.0.2.10 {REAL}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], capture_output=True, check=True)
    assert "192.0.2.10" not in file.read_text()
    assert command(file.read_text()) == f"knownhostscommand /bin/echo 192.0.2.10 {REAL}"


@pytest.mark.parametrize(
    "line",
    ["", f"192.0.2.11 {RSA}", f"@revoked 192.0.2.10 {RSA}", "192.0.2.10 ssh-rsa AAAA", f"192.0.2.10 {RSA}' -o X=y"],
)
def test_what_is_no_key_of_the_machine_is_not_told(line: str) -> None:
    told = ssh_variables(line, "192.0.2.10", 22)
    assert "X=y" not in "".join(told.values())
    assert told == {}
