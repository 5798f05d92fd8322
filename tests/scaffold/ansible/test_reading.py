"""What the module reads: Compose's words, the engine's answers, files, locks and fences."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tests.scaffold.ansible.module import PATH
from tests.scaffold.ansible.module import fairlead_compose as module

CANONICAL = """\
name: shop
services:
  backend:
    environment:
      X: 'a: b'
    healthcheck:
      test:
        - CMD
        - true
    image: r/backend
    x-fairlead:
      announce: front
      rollout: "start-first"
  db:
    image: r/db
    labels:
      x-fairlead: "no mark"
networks:
  front:
    name: shop_front
x-fairlead:
  rollout: nobody
"""


def test_marks_are_read_from_compose_own_yaml() -> None:
    assert module.marks_in(CANONICAL) == {"backend": {"announce": "front", "rollout": "start-first"}}


def test_hashes_are_read_line_by_line() -> None:
    assert module.parse_hashes("a 12ab\nb 34cd\n\n") == {"a": "12ab", "b": "34cd"}


def test_a_container_is_read_from_the_engine() -> None:
    labels = {"com.docker.compose.service": "db", "com.docker.compose.config-hash": "h"}
    health = {"Status": "unhealthy", "Log": [{"Output": "first"}, {"Output": "last"}]}
    body = {
        "Id": "c1",
        "Config": {"Labels": labels, "Image": "r/db@sha256:1"},
        "Image": "sha256:9",
        "State": {"Status": "running", "ExitCode": 0, "Health": health},
        "RestartCount": 2,
        "HostConfig": {"RestartPolicy": {"Name": "always"}},
        "NetworkSettings": {"Networks": {"shop_front": {}}},
    }
    found = module.container_of(body)
    assert (found.service, found.hash, found.image, found.image_id) == ("db", "h", "r/db@sha256:1", "sha256:9")
    assert (found.health, found.health_output, found.restarts) == ("unhealthy", "last", 2)
    assert (found.restart_policy, found.networks) == ("always", ("shop_front",))


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40))))
def test_a_log_loses_its_frames_and_nothing_else(frames: list[tuple[int, bytes]]) -> None:
    stream = b"".join(bytes([kind, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for kind, text in frames)
    assert module.unframe(stream) == b"".join(text for _, text in frames)


def test_a_terminal_log_has_no_frames() -> None:
    assert module.unframe(b"plain words\n") == b"plain words\n"


def step(name: str, action: str, old: int = 1) -> Any:
    return module.Step(name, action, old=tuple(module.Container(id=str(n), service=name) for n in range(old)))


def compose() -> Any:
    return module.Compose(lambda *_: (0, "", ""), "shop", "/opt/shop", 900)


BASE = [
    *("timeout", "--kill-after=30", "900", "docker", "compose", "--ansi", "never"),
    *("--project-name", "shop", "--project-directory", "/opt/shop"),
    *("--file", "/opt/shop/docker-compose.yml", "--env-file", "/opt/shop/.env"),
]


def test_in_place_is_a_plain_up_of_what_changed() -> None:
    argv = compose().up_argv([step("db", "replace"), step("gateway", "create", 0)])
    assert argv == [*BASE, "up", "--no-build", "--pull", "never", "--detach", "db", "gateway"]
    assert compose().up_argv([step("db", "replace")], force=True)[-2:] == ["--force-recreate", "db"]


def test_beside_only_creates_one_container_more() -> None:
    argv = compose().up_argv([step("backend", "start-first"), step("frontend", "finish")])
    scales = ["--scale", "backend=2", "--scale", "frontend=2"]
    assert argv == [*BASE, "up", "--no-build", "--pull", "never", "--no-start", "--no-recreate", *scales, "backend"]


@pytest.mark.parametrize(
    ("words", "outcome", "code"),
    [
        ("manifest for r/a@sha256:1 not found: manifest unknown: manifest unknown", "release_fault", "image-missing"),
        ("no matching manifest for linux/amd64 in the manifest list entries", "release_fault", "image-missing"),
        ("name unknown: repository name not known to registry", "release_fault", "image-missing"),
        ("dial tcp 10.0.0.1:5000: connect: connection refused", "site_fault", "registry"),
        ("lookup registry.example.com: no such host", "site_fault", "registry"),
        ("unauthorized: authentication required", "site_fault", "registry"),
        (
            "pull access denied for r/a, repository does not exist or may require 'docker login'",
            "site_fault",
            "registry",
        ),
        ("received unexpected HTTP status: 503 Service Unavailable", "site_fault", "registry"),
        ("toomanyrequests: rate limit", "site_fault", "registry"),
        ("write /var/lib/docker/tmp/x: no space left on device", "site_fault", "disk-full"),
        ("words that nobody knows", "site_fault", "registry"),
    ],
)
def test_whose_fault_a_failed_pull_is(words: str, outcome: str, code: str) -> None:
    fault = module.pull_fault(1, f"Pulling\n{words}\n")
    assert (fault.outcome, fault.code) == (outcome, code)


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("OCI runtime create failed: exec: no-such-program: executable file not found in $PATH", "release_fault"),
        ("OCI runtime create failed: exec: /entrypoint: permission denied: unknown", "release_fault"),
        ("dependency failed to start: container shop-db-1 is unhealthy", "release_fault"),
        ("Bind for 0.0.0.0:80 failed: port is already allocated", "site_fault"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock", "site_fault"),
        ("no space left on device", "site_fault"),
    ],
)
def test_whose_fault_a_failed_start_is(words: str, outcome: str) -> None:
    assert module.start_fault(1, words, "db").outcome == outcome


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (15, "services.backend Additional property imge is not allowed", "compose-invalid"),
        (1, "docker: unknown command: docker compose\n\nRun 'docker --help' for more information", "compose-missing"),
        (125, "unknown shorthand flag: 'a' in -ansi\nSee 'docker --help'.", "compose-missing"),
        (1, "docker: 'compose' is not a docker command.", "compose-missing"),
        (127, "timeout: failed to run command 'docker': No such file or directory", "compose-missing"),
    ],
)
def test_whose_fault_an_unreadable_compose_file_is(status: int, words: str, code: str) -> None:
    fault = module.config_fault(status, words)
    assert (fault.code, fault.outcome) == (code, "release_fault" if code == "compose-invalid" else "site_fault")


def test_a_program_that_reached_its_time_limit_is_the_sites_fault() -> None:
    assert module.pull_fault(124, "").outcome == "site_fault"
    assert module.start_fault(137, "", "db").outcome == "site_fault"


def test_files_are_written_whole_and_env_is_private(tmp_path: Path) -> None:
    files = module.Files("services: {}\n", 'A="secret value"\n')
    files.write(str(tmp_path / "app"))
    assert module.Files.read(str(tmp_path / "app")) == files
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "app").iterdir()}
    assert modes == {".env": 0o600, "docker-compose.yml": 0o644}
    assert module.Files.read(str(tmp_path)) is None


def test_secrets_of_env_are_hidden_and_short_values_are_not_looked_for() -> None:
    files = module.Files("", 'A="p$\\"long \\\\ one"\nB=yes\nC="second-secret"\n'.replace("$", "\\$"))
    mask = module.masker(files.secrets())
    assert mask('said p$"long \\ one and second-secret, yes') == "said ******** and ********, yes"


def test_a_fault_is_reported_without_secrets() -> None:
    fault = module.ReleaseFault(
        "unhealthy", "cannot use hunter22", "db", "\n".join(f"line {n} hunter22" for n in range(50))
    )
    report = fault.report(module.masker(["hunter22"]))
    assert len(report["log"]) == 20
    assert "hunter22" not in json.dumps(report)
    assert report["log"][-1] == "line 49 ********"


def test_the_lock_is_held_by_one_and_named_to_the_other(tmp_path: Path) -> None:
    record = module.Record(str(tmp_path), "shop")
    with (
        record.locked(0, {"run": "r-1"}),
        pytest.raises(module.SiteFault) as caught,
        record.locked(0.2, {"run": "r-2"}),
    ):
        pass
    assert caught.value.code == "busy"
    assert '{"run": "r-1"}' in caught.value.reason
    with record.locked(0, {"run": "r-3"}):
        assert module.read_text(str(tmp_path / "shop" / "lock")) == '{"run": "r-3"}'


def test_a_lower_fence_is_refused_and_no_fence_changes_nothing(tmp_path: Path) -> None:
    record = module.Record(str(tmp_path), "shop")
    (tmp_path / "shop").mkdir()
    for fence in (None, 7, 7, None, 9):
        record.raise_fence(fence)
    with pytest.raises(module.SiteFault) as caught:
        record.raise_fence(8)
    assert (caught.value.code, record.fence()) == ("stale", 9)


@pytest.mark.parametrize("content", ["", "nine", "-1", "²", "1e3"])
def test_a_fence_that_is_no_number_is_none(tmp_path: Path, content: str) -> None:
    """² is a digit for Python, and no number: found by fuzzing."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "fence").write_text(content)
    assert module.Record(str(tmp_path), "shop").fence() is None


def test_what_a_killed_module_left_is_gone_when_the_next_begins(tmp_path: Path) -> None:
    record = module.Record(str(tmp_path), "shop")
    files = module.Files("services: {}\n", "PASSWORD=hunter22\n")
    files.write(str(tmp_path / "shop" / "coming"), public=False)
    with record.coming() as coming:
        assert module.Files.read(coming) is None
        files.write(coming, public=False)
        assert module.Files.read(coming) == files
    assert not (tmp_path / "shop" / "coming").exists()


def test_half_written_files_are_swept_and_no_others(tmp_path: Path) -> None:
    directory = tmp_path / "[shop]"  # not a pattern
    module.Files("services: {}\n", "PASSWORD=hunter22\n").write(str(directory))
    (directory / f"{module.HALF_WRITTEN}x1").write_text("PASSWORD=hunt")
    module.sweep(str(directory))
    module.sweep(str(tmp_path / "never made"))
    assert sorted(path.name for path in directory.iterdir()) == [".env", "docker-compose.yml"]


def test_running_digests_are_compared_one_container_at_a_time() -> None:
    good = {"digests": ["sha256:a", "sha256:index"], "status": "running", "image": "r/a:1"}
    other = {**good, "digests": ["sha256:b"]}
    assert module.differences_of("app", [good], "r/a:1@sha256:index") == []
    assert module.differences_of("app", [good, other], "r/a:1@sha256:a") == [
        "app runs sha256:b, expected r/a:1@sha256:a"
    ]
    assert module.differences_of("app", [], "r/a:1@sha256:a") == ["app does not run"]
    assert module.differences_of("app", [good], None) == ["app runs, and is not in the release"]
    stopped = {**good, "status": "exited"}
    assert module.differences_of("app", [stopped], "r/a:1@sha256:a") != []
    assert module.differences_of("app", [good], "r/a:1") != [], "what is not pinned is never proven"


def test_the_documentation_has_every_argument_as_it_is() -> None:
    documented = YAML(typ="safe").load(module.DOCUMENTATION)["options"]
    assert documented.keys() == module.ARGUMENTS.keys()
    for name, argument in module.ARGUMENTS.items():
        for key in ("type", "default", "choices", "required", "elements"):
            assert documented[name].get(key) == argument.get(key), f"{name}.{key}"


def test_it_is_python_3_9() -> None:
    ast.parse(PATH.read_text(), feature_version=(3, 9))


def run_module(**arguments: Any) -> dict[str, Any]:
    """The real module, as Ansible starts it."""
    code = (
        "import json, sys; from ansible.module_utils.testing import patch_module_args\n"
        "sys.path.insert(0, sys.argv[1]); import fairlead_compose\n"
        "with patch_module_args(json.loads(sys.argv[2])): fairlead_compose.main()"
    )
    argv = [sys.executable, "-c", code, str(PATH.parent), json.dumps(arguments)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "missing required arguments: app"),
        ({"app": "shop"}, "state is deployed but all of the following are missing: compose"),
        ({"app": "Shop/..", "compose": ""}, "is not a Compose project's name"),
        ({"app": "shop", "compose": "", "state": "gone"}, "value of state must be one of"),
        ({"app": "shop", "compose": "", "fence": "many"}, "fence"),
        ({"app": "shop", "compose": "", "colour": "red"}, "Unsupported parameters"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    result = run_module(**arguments)
    assert result["failed"]
    assert message in result["msg"]


def test_only_a_plain_200_is_an_answer() -> None:
    for url in ("", "file:///etc/hostname", "http://127.0.0.1:1/up", "http://[", "/up"):
        assert not module.answers(url)


def test_an_engine_that_does_not_answer_is_the_sites_fault(tmp_path: Path) -> None:
    result = run_module(app="shop", state="inspected", socket=str(tmp_path / "none.sock"))
    assert (result["outcome"], result["fault"]["code"]) == ("site_fault", "engine")
