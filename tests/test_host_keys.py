"""known_hosts as text, compared with what OpenSSH itself makes of the same file."""

import base64
from pathlib import Path

import pytest

from fairlead import process
from fairlead.errors import ProxmoxError
from fairlead.host_keys import KEY_KINDS, known_keys, public_key, with_host_keys

SHIPPED = Path("src/fairlead/scaffold/files/deployment/ansible/known_hosts")


def fake_key(letter: str) -> str:
    """A key of the right form; whose, tells the letter."""
    kind = b"ssh-ed25519"
    blob = len(kind).to_bytes(4, "big") + kind + (32).to_bytes(4, "big") + letter.encode() * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


ONE, OTHER = fake_key("a"), fake_key("b")


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_a_key_that_ssh_keygen_made_loses_its_comment(kind: str, tmp_path: Path) -> None:
    process.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "root@vm", "-f", tmp_path / "key"])
    text = (tmp_path / "key.pub").read_text()
    assert public_key(text, "pve1/100") == text.removesuffix(" root@vm\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        f"ssh-rsa {ONE.split()[1]}",
        f"{ONE}\n10.0.0.9 {OTHER}",
        f"ssh-ed25519 {'A' * 68}",
        f"ssh-ed25519 {'A' * 41}",
        "<html>" * 50,
        f'command="rm" {ONE}',
    ],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ProxmoxError) as caught:
        public_key(text, "pve1/100")
    assert caught.value.what == "pve1/100 gives something else than an SSH public key"
    assert len(caught.value.why) < 100


def test_the_shipped_file_takes_a_key_into_its_section() -> None:
    text = with_host_keys(SHIPPED.read_text(), "10.0.0.5", [ONE])
    assert text.splitlines()[-2:] == [f"10.0.0.5 {ONE}", "# </hostkeys>"]
    assert known_keys(text, "10.0.0.5") == (ONE,)
    assert len(known_keys(text, "192.0.2.10")) == 1


def test_a_new_key_replaces_the_old_one_and_nobody_elses() -> None:
    text = f"# who\n10.0.0.5,app.example.com {ONE}\n10.0.0.6 {ONE} comment\n@revoked 10.0.0.5 {ONE}\n"
    assert with_host_keys(text, "10.0.0.5", [OTHER]) == (
        f"# who\napp.example.com {ONE}\n10.0.0.6 {ONE} comment\n@revoked 10.0.0.5 {ONE}\n10.0.0.5 {OTHER}\n"
    )
    assert with_host_keys(with_host_keys(text, "10.0.0.5", [OTHER]), "10.0.0.5", [OTHER]).count(OTHER) == 1


def test_another_port_is_another_host() -> None:
    text = with_host_keys(with_host_keys("", "10.0.0.5", [ONE]), "10.0.0.5", [OTHER], port=2222)
    assert text == f"10.0.0.5 {ONE}\n[10.0.0.5]:2222 {OTHER}\n"
    assert known_keys(text, "10.0.0.5", 2222) == (OTHER,)
    assert known_keys(text, "10.0.0.5") == (ONE,)
    assert known_keys(text, "10.0.0.55") == ()


def test_a_hashed_line_is_read_and_replaced_as_openssh_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"10.0.0.5 {ONE}\n10.0.0.6 {OTHER}\n")
    process.run(["ssh-keygen", "-q", "-H", "-f", file])
    assert "10.0.0.5" not in file.read_text()
    assert known_keys(file.read_text(), "10.0.0.5") == (ONE,)
    file.write_text(with_host_keys(file.read_text(), "10.0.0.5", [OTHER]))
    found = process.run(["ssh-keygen", "-F", "10.0.0.5", "-f", file]).stdout
    assert OTHER in found
    assert ONE not in file.read_text()
