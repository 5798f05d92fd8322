"""From fairlead.yaml to checks: expressions, the command check, the digests, the record for CI systems."""

import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fairlead.config.models import Verify
from fairlead.errors import InvalidSetting, SiteFault, UnsafePath
from fairlead.images import ImageReference
from fairlead.process import Mask
from fairlead.verify.base import CheckResult, Verdict, Verification
from fairlead.verify.checks import Surroundings, build_checks
from fairlead.verify.command import CommandCheck
from fairlead.verify.digests import DigestsCheck, Reading
from fairlead.verify.expressions import Values, fill, fill_url
from fairlead.verify.http import HttpCheck
from fairlead.verify.junit import to_junit

DIGEST = "sha256:" + "ab" * 32
VALUES = Values(
    vm_ip="10.0.0.5",
    environment="staging",
    app="shop",
    commit="c0ffee",
    images={"app_image": ImageReference.parse(f"registry.example.com/shop/backend:1.1.0@{DIGEST}")},
)


def settings(*checks: object) -> Verify:
    return Verify.model_validate({"checks": checks})


def surroundings(directory: Path, values: Values = VALUES) -> Surroundings:
    return Surroundings(values, directory, lambda: Reading(()), Mask(["hunter2"]))


def test_the_settings_become_checks_with_their_expressions_filled(tmp_path: Path) -> None:
    configured = settings(
        {"running_digests": {}},
        {
            "http": {
                "url": "http://{vm_ip}/api/version",
                "json": {"version": "{app_image.tag}", "port": 80},
                "contains": "{environment}",
                "headers": {"X-Commit": "{commit}"},
                "timeout": "2s",
                "ca": "site-ca.pem",
            }
        },
        {"command": {"run": ["./smoke.sh", "{vm_ip}", "{app_image.digest}"], "timeout": "3s"}},
    )
    around = surroundings(tmp_path)
    digests, http, command = build_checks(configured.checks, around)

    assert isinstance(digests, DigestsCheck)
    assert http == HttpCheck(
        "http://10.0.0.5/api/version",
        fields={"version": "1.1.0", "port": 80},
        contains="staging",
        headers={"X-Commit": "c0ffee"},
        timeout=2.0,
        ca=tmp_path / "site-ca.pem",
        mask=around.mask,
    )
    assert isinstance(command, CommandCheck)
    assert command.argv == ("./smoke.sh", "10.0.0.5", DIGEST)
    assert command.timeout == 3.0


def test_an_ipv6_address_is_bracketed_in_addresses_only() -> None:
    values = replace(VALUES, vm_ip="2001:db8::7")
    assert fill_url("http://{vm_ip}:8080/{app_image.tag}", values) == "http://[2001:db8::7]:8080/1.1.0"
    assert fill("{vm_ip}", values) == "2001:db8::7"


@pytest.mark.parametrize(
    "expression", ["{web_image.tag}", "{app_image}", "{app_image.__class__}", "{values}", "{}", "{0}"]
)
def test_an_expression_without_a_value_is_refused(expression: str) -> None:
    with pytest.raises(InvalidSetting):
        fill(expression, VALUES)


def test_an_image_that_is_not_pinned_yet_is_named() -> None:
    with pytest.raises(InvalidSetting, match="The release pins no app_image") as caught:
        fill("{app_image.tag}", replace(VALUES, images={}))
    assert caught.value.remedy == "fairlead bump -e staging"


@pytest.mark.parametrize("address", ["-oProxyCommand=x", "10.0.0.5/../", "a b", "{app}", ""])
def test_an_address_that_is_none_fills_nothing(address: str) -> None:
    with pytest.raises(InvalidSetting):
        replace(VALUES, vm_ip=address)


@given(st.text())
def test_a_value_is_never_read_as_an_expression(commit: str) -> None:
    assert fill("<{commit}>", replace(VALUES, commit=commit)) == f"<{commit}>"
    assert fill("<{commit}>", replace(VALUES, commit="{vm_ip}")) == "<{vm_ip}>"


def test_a_ca_file_outside_the_repository_is_refused(tmp_path: Path) -> None:
    for path in ("../ca.pem", "/etc/hostname"):
        with pytest.raises(ValidationError, match="is not a path in the deployment repository"):
            settings({"http": {"url": "https://{vm_ip}/", "ca": path}})
    (tmp_path / "link.pem").symlink_to("/etc/hostname")
    configured = settings({"http": {"url": "https://{vm_ip}/", "ca": "link.pem"}})
    with pytest.raises(UnsafePath):
        build_checks(configured.checks, surroundings(tmp_path))


def program(directory: Path, text: str) -> tuple[str, ...]:
    (directory / "smoke.py").write_text(text)
    return (sys.executable, "smoke.py")


def test_a_command_that_ends_with_0_passes_and_gets_the_machine(tmp_path: Path) -> None:
    text = "import os, sys; sys.exit(os.environ['VM_IP'] != '10.0.0.5' or os.environ['ENVIRONMENT'] != 'staging')"
    configured = settings({"command": {"run": program(tmp_path, text)}})
    (check,) = build_checks(configured.checks, surroundings(tmp_path))
    assert check.attempt().passed


def test_a_command_that_fails_shows_its_last_words_masked_and_bounded(tmp_path: Path) -> None:
    text = "print('x' * 100000); print('login hunter2 refused'); raise SystemExit(3)"
    outcome = CommandCheck(program(tmp_path, text), tmp_path, mask=Mask(["hunter2"])).attempt()
    assert not outcome.passed
    assert outcome.came.startswith("exit code 3: ")
    assert "hunter2" not in outcome.came
    assert len(outcome.came) <= 500


def test_a_command_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    outcome = CommandCheck(program(tmp_path, "import time; time.sleep(60)"), tmp_path, timeout=0.5).attempt()
    assert outcome.came.startswith("no end within 0.5 s")


def test_a_command_that_is_killed_says_by_what(tmp_path: Path) -> None:
    text = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert "SIGKILL" in CommandCheck(program(tmp_path, text), tmp_path).attempt().came


def test_a_command_that_is_not_there_fails(tmp_path: Path) -> None:
    outcome = CommandCheck(("./smoke.sh",), tmp_path).attempt()
    assert outcome.came == "./smoke.sh is not installed, or not on PATH"


def test_no_shell_reads_a_command(tmp_path: Path) -> None:
    text = "import sys; print(sys.argv[1:]); sys.exit(1)"
    outcome = CommandCheck((*program(tmp_path, text), "$(touch canary)", "`id`", "a;b"), tmp_path).attempt()
    assert outcome.came == "exit code 1: ['$(touch canary)', '`id`', 'a;b']"
    assert not (tmp_path / "canary").exists()


def test_a_wrong_digest_on_one_service_fails_the_release() -> None:
    outcome = DigestsCheck(lambda: Reading(("backend runs sha256:1, expected sha256:2",))).attempt()
    assert not outcome.passed
    assert outcome.came == "backend runs sha256:1, expected sha256:2"
    assert DigestsCheck(lambda: Reading(())).attempt().passed


def test_a_container_that_comes_back_behind_a_patient_gateway_is_noticed() -> None:
    counts = iter([{"db": 1, "backend": 0}, {"db": 1, "backend": 0}, {"db": 1, "backend": 2}])
    check = DigestsCheck(lambda: Reading((), next(counts)))
    assert [check.attempt().passed for _ in range(2)] == [True, True]
    assert check.attempt().came == "backend was restarted while it was watched"


def test_a_machine_that_cannot_be_read_is_the_sites_fault() -> None:
    def read() -> Reading:
        raise SiteFault("ssh does not answer")

    with pytest.raises(SiteFault):
        DigestsCheck(read).attempt()


def test_a_ci_system_reads_the_result_as_junit() -> None:
    began = datetime(2026, 1, 5, 12, tzinfo=UTC)
    results = (
        CheckResult("running digests", True, "x", "x", 1, 12.5),
        CheckResult("http <&\x00>", False, "200", "503: <b>", 3, 8.0, failing_since=began),
        CheckResult("command ./x", False, "to see", "ssh", 3, 1.0, fault=True),
    )
    done = Verification(Verdict.FAILED, results, began, began + timedelta(seconds=1.5))
    (suite,) = ET.fromstring(to_junit(done, "verify staging"))
    assert {name: suite.attrib[name] for name in ("tests", "failures", "errors", "time")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
        "time": "1.500",
    }
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"]]
    assert suite[1][0].attrib["message"] == "expected 200; came 503: <b> (since 12:00:00, 3 attempts)"
