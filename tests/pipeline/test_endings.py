"""How runs end: who failed, what is rolled back, what stands, and the exit code."""

import pytest

from fairlead.config import layout
from fairlead.deploy.base import Outcome
from tests.fixtures.git import image
from tests.pipeline.runner import CONFIGURATION, TEMPLATE, Pipeline

OLD = image("backend", "1.0.0", "a")


@pytest.mark.parametrize("fault", ["broken", "wrong"])
def test_a_failed_release_is_rolled_back_and_not_tried_again(pipeline: Pipeline, fault: str) -> None:
    new = pipeline.offer()
    pipeline.behave(broken=[new.digest] if fault == "broken" else [], wrong=[new.digest])
    code, text = pipeline.run()
    assert code == 6, text
    assert "FL-ROLLED-BACK" in text
    assert (" retrying attempt 1: expected" in text) == (fault == "wrong")
    revert, bump = pipeline.releases()
    assert (revert.split(":")[0], bump) == ("revert(staging)", "build(staging): backend 1.0.0 → 1.1.0")
    assert str(new) in pipeline.site.show(layout.QUARANTINE)
    assert pipeline.running()["app_image"] == str(OLD)
    assert pipeline.proofs()[0] == pipeline.site.head
    assert pipeline.run() == (0, "outcome none\n")


def test_after_a_failure_a_mended_image_is_released(pipeline: Pipeline) -> None:
    pipeline.behave(broken=[pipeline.offer().digest])
    assert pipeline.run()[0] == 6
    mended = pipeline.offer(tag="1.1.1", digit="d")
    assert pipeline.run()[0] == 0
    assert pipeline.running()["app_image"] == str(mended)


def test_a_failed_return_stops_and_says_so(pipeline: Pipeline) -> None:
    new = pipeline.offer()
    pipeline.behave(broken=[new.digest, OLD.digest])
    code, text = pipeline.run()
    assert code == 3, text
    assert "and so did the return to" in text
    assert [outcome for _, outcome in pipeline.deploys()] == [Outcome.RELEASE_FAULT] * 2
    assert len(pipeline.releases()) == 2


def test_a_failed_return_is_work_for_the_next_run(pipeline: Pipeline) -> None:
    new = pipeline.offer()
    pipeline.behave(broken=[new.digest, OLD.digest])
    assert [pipeline.run()[0] for _ in range(2)] == [3, 3]
    pipeline.behave(broken=[new.digest])
    assert pipeline.run()[0] == 0
    assert pipeline.running()["app_image"] == str(OLD)
    assert len(pipeline.releases()) == 2
    assert pipeline.proofs()[0] == pipeline.site.head
    assert pipeline.run() == (0, "outcome none\n")


def test_a_return_that_the_site_stopped_is_gone_on_with(pipeline: Pipeline) -> None:
    new = pipeline.offer()
    pipeline.behave(wrong=[new.digest])
    pipeline.run(crash_at="rollback-deploy:before")
    pipeline.behave(wrong=[new.digest], site=True)
    assert pipeline.run()[0] == 1
    assert pipeline.running()["app_image"] == str(new)
    pipeline.behave(wrong=[new.digest])
    assert pipeline.run()[0] == 0
    assert pipeline.running()["app_image"] == str(OLD)
    assert pipeline.proofs()[0] == pipeline.site.head


def test_nothing_ever_proven_is_held(pipeline: Pipeline) -> None:
    pins = f"app_image: {OLD}\nfrontend_image: {image('frontend', '1.0.0', 'a')}\n"
    text = CONFIGURATION.replace("production:", "preview: {follows: source}, production:")
    pipeline.site.write({layout.images_file("preview"): pins, layout.CONFIGURATION: text}, "Preview")
    pipeline.behave("preview", broken=[OLD.digest])
    code, said = pipeline.run("preview")
    assert code == 3, said
    assert "nothing to roll back to" in said
    assert "never became healthy" in said
    assert not pipeline.releases("preview")


def test_hold_holds(pipeline: Pipeline) -> None:
    pipeline.site.write({layout.CONFIGURATION: CONFIGURATION.replace("on_failure: rollback", "on_failure: hold")})
    pipeline.behave(broken=[pipeline.offer().digest])
    code, text = pipeline.run()
    assert code == 3, text
    assert pipeline.releases() == ["build(staging): backend 1.0.0 → 1.1.0"]
    assert len(pipeline.deploys()) == 1


def test_a_site_fault_rolls_nothing_back_and_heals(pipeline: Pipeline) -> None:
    new = pipeline.offer()
    pipeline.behave(site=True)
    for _ in range(2):
        code, text = pipeline.run()
        assert code == 1, text
        assert "FL-SITE" in text
    assert pipeline.releases() == ["build(staging): backend 1.0.0 → 1.1.0"]
    pipeline.behave()
    assert pipeline.run()[0] == 0
    assert pipeline.running()["app_image"] == str(new)
    assert pipeline.releases() == ["build(staging): backend 1.0.0 → 1.1.0"]


def test_a_full_disk_of_ones_own_is_the_sites_fault_and_heals(pipeline: Pipeline) -> None:
    pipeline.offer()
    pipeline.behave(disk=True)
    code, text = pipeline.run()
    assert code == 1, text
    assert "This machine cannot do it: No space left on device: values.json" in text
    assert "deploy failed" in text
    assert "run ended stopped" in text
    pipeline.behave()
    assert pipeline.run()[0] == 0
    assert len(pipeline.releases()) == 1


def test_a_broken_template_is_taken_back(pipeline: Pipeline) -> None:
    pipeline.site.write({TEMPLATE: "services: {}\n"}, "A template")
    assert pipeline.run()[0] == 0
    pipeline.site.write({TEMPLATE: "broken: {}\n"}, "A broken template")
    code, text = pipeline.run()
    assert code == 6, text
    assert pipeline.site.show(TEMPLATE) == "services: {}\n"
    assert len(pipeline.releases()) == 1
    assert pipeline.proofs()[0] == pipeline.site.head
    assert pipeline.run() == (0, "outcome none\n")


def test_what_no_rollback_can_change_is_held(pipeline: Pipeline) -> None:
    pipeline.site.write({"deployment/opentofu/main.tf": "# changed\n"})
    pipeline.behave(broken=[OLD.digest])
    code, text = pipeline.run()
    assert code == 3, text
    assert "nothing that a rollback could change" in text
    assert not pipeline.releases()


def test_a_release_that_was_overtaken_is_not_deployed(pipeline: Pipeline) -> None:
    pipeline.offer()
    pipeline.run(crash_at="bump:after")
    overtaken = pipeline.site.head
    pipeline.site.write({TEMPLATE: "services: {}\n"})
    code, text = pipeline.run()
    assert code == 0, text
    assert "is not the newest release any more" in text
    assert overtaken not in [commit for commit, _ in pipeline.deploys()]
    assert pipeline.proofs()[0] == pipeline.site.head


def test_a_commit_that_concerns_others_overtakes_nothing(pipeline: Pipeline) -> None:
    pipeline.offer()
    pipeline.run(crash_at="bump:after")
    bumped = pipeline.site.head
    pipeline.site.write({"README.md": "Read me\n"})
    assert pipeline.run()[0] == 0
    assert pipeline.proofs()[0] == bumped


def test_a_machine_that_had_a_newer_release_refuses(pipeline: Pipeline) -> None:
    pipeline.offer()
    machine = pipeline.machine("staging") / "machines.json"
    machine.write_text('{"192.0.2.10": {"fence": 900, "running": {}}}')
    code, text = pipeline.run()
    assert code == 1, text
    assert "number 900 has been here" in text
    assert pipeline.releases() == ["build(staging): backend 1.0.0 → 1.1.0"]


def test_waiting_is_exit_5(pipeline: Pipeline) -> None:
    waiting = CONFIGURATION.replace("staging: {follows: source}", "staging: {follows: source, approval: required}")
    pipeline.site.write({layout.CONFIGURATION: waiting})
    pipeline.offer()
    code, text = pipeline.run()
    assert code == 5, text
    assert "environments.staging.approval" in text
    assert not list(pipeline.state.rglob("*.sqlite"))
