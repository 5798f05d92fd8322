"""The fault list: each case, what must come of it, and the tests that hold Fairlead to it.

`make docs` makes docs/reference/faults.md of it, and docs/reference/kill-matrix.md of what tests/faults/matrix.py
recorded. A test holds that every test that is named here exists.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "tests/faults"
WAYS = {
    "alone": "kill -9 of the process alone; run again",
    "group": "kill -9 of its process group; run again",
    "stopped": "SIGSTOP; a second attempt on the same machine, which is refused (exit 4); SIGCONT",
    "overtaken": "SIGSTOP; another machine, with a state of its own, runs to the end; SIGCONT: a zombie wakes",
}


@dataclass(frozen=True)
class Case:
    """One fault. tests: `file::name` below tests/."""

    number: int
    fault: str
    outcome: str
    tests: tuple[str, ...]


def case(number: int, fault: str, outcome: str, *tests: str) -> Case:
    return Case(number, fault, outcome, tests)


CASES: Mapping[str, Sequence[Case]] = {
    "Registry": (
        case(1, "a list of 500,000 tags", "cut short, elects nothing; other images are looked at",
             "registry/test_hostile.py::test_a_list_of_500_000_tags_is_cut_short",
             "registry/test_watcher.py::test_a_list_that_was_cut_short_elects_nothing",
             "registry/test_watcher.py::test_what_one_registry_does_wrong_leaves_the_others_alone"),
        case(2, "a next page that is the same page, or on another host", "refused",
             "registry/test_hostile.py::test_a_next_page_that_is_the_same_page_ends_the_look",
             "registry/test_hostile.py::test_a_next_page_elsewhere_is_not_asked_for"),
        case(3, "429 with a Retry-After of an hour", "no request to that registry until then",
             "registry/test_hostile.py::test_a_retry_after_that_is_long_is_respected_by_all_requests_to_that_registry"),
        case(4, "a realm that leads elsewhere", "no request, no credentials",
             "registry/test_hostile.py::test_a_realm_elsewhere_gets_no_request_and_no_credentials"),
        case(5, "a manifest that is not what its digest says", "rejected",
             "registry/test_hostile.py::test_a_manifest_with_another_digest_is_rejected",
             "registry/test_hostile.py::test_a_configuration_with_another_digest_is_rejected"),
        case(6, "a tag that moves between look and pull", "deployed is what was seen, by digest",
             "faults/test_registry.py::test_a_tag_that_moves_after_the_look_is_deployed_as_it_was_seen",
             "e2e/test_releases.py::test_a_new_tag_reaches_the_machine_by_digest"),
        case(7, "tags that are none", "left out, and shown harmlessly with the reason",
             "registry/test_policy.py::test_what_is_no_tag_is_left_out_and_shown_harmlessly",
             "registry/test_hostile.py::test_tags_that_are_none_come_through_short_and_are_left_to_the_election"),
        case(8, "a gzip bomb, 100 MB of JSON, 100,000 levels of nesting", "refused within 50 MB of memory",
             "registry/test_hostile.py::test_a_bomb_does_not_go_off"),
        case(9, "a pattern that would take for ever", "ends: RE2",
             "registry/test_policy.py::test_an_evil_pattern_ends"),
        case(10, "an image for another platform", "refused before a commit",
             "registry/test_watcher.py::test_an_image_for_another_platform_is_refused"),
        case(11, "an image that is deleted after the commit", "the deploy fails, the old one serves",
             "scaffold/ansible/test_on_machine.py::"
             "test_a_missing_digest_is_the_releases_fault_and_a_silent_registry_the_sites",
             "conformance/test_deployer.py::test_an_image_that_no_registry_has_is_the_releases_fault"),
        case(12, "a registry that is down for a day", "nothing changes; it is looked at again by itself",
             "faults/test_registry.py::"
             "test_a_registry_that_was_gone_for_a_day_changes_nothing_and_comes_back_by_itself"),
    ),
    "Git": (
        case(23, "a push that loses the race", "fetched and made anew, a bounded number of times, then said",
             "deployment_repo/test_bump.py::test_a_lost_race_is_run_again_on_the_new_head",
             "deployment_repo/test_bump.py::test_races_that_are_always_lost_end_with_a_clear_error",
             "faults/test_contention.py::test_every_bump_lands_exactly_once"),
        case(24, "a branch that is rewritten during a run", "the run stops",
             "deployment_repo/test_bump.py::test_a_branch_that_is_rewritten_meanwhile_stops_the_run",
             "deployment_repo/test_repository.py::"
             "test_a_push_on_a_branch_that_was_rewound_is_refused_although_it_would_fast_forward"),
        case(25, "a person who edits the same line", "the person wins",
             "deployment_repo/test_bump.py::test_a_person_who_changes_the_same_pin_wins"),
        case(26, "a file that is a link or in a submodule", "refused",
             "deployment_repo/test_bump.py::test_pins_behind_a_symbolic_link_are_refused",
             "deployment_repo/test_repository.py::test_links_and_submodules_are_refused"),
        case(27, "an address that would run a program, or holds a variable", "refused; variables stay literal",
             "deployment_repo/test_git.py::test_addresses_that_could_run_a_program_are_refused",
             "deployment_repo/test_git.py::test_a_remote_that_would_run_a_program_is_refused",
             "deployment_repo/test_git.py::test_a_variable_in_an_address_stays_literal"),
        case(28, "a label with line ends, trailers, escapes", "one plain line; no trailer is forged",
             "deployment_repo/test_message.py::test_a_label_cannot_forge_a_trailer_or_hide_anything",
             "registry/test_client.py::test_labels_are_one_line_of_plain_text",
             "e2e/test_secrets.py::test_nothing_that_strangers_write_is_executed_or_forged"),
        case(29, "a kill between commit and push", "exactly one commit after the next run",
             "deployment_repo/test_bump.py::test_killed_between_any_two_steps_and_run_again_there_is_one_commit"),
        case(30, "a signing key that is missing", "no commit, and no unsigned one",
             "deployment_repo/test_repository.py::test_an_impossible_signature_leaves_no_commit"),
        case(31, "a protected branch", "told in the server's own words; nothing is left",
             "deployment_repo/test_bump.py::test_a_protected_branch_is_told_clearly_and_leaves_nothing"),
    ),
    "OpenTofu and Proxmox": (
        case(32, "a plan that destroys or replaces a machine", "stops, until a person allows that very plan",
             "provision/test_opentofu.py::test_a_plan_that_destroys_needs_a_person_who_allows_that_very_plan"),
        case(33, "kill -9 during an apply", "one machine, taken over by the next run; the state is complete",
             "provision/test_interruptions.py::"
             "test_killed_at_any_moment_of_an_apply_one_machine_is_left_and_taken_over"),
        case(34, "a template that is locked", "waited for",
             "provision/test_opentofu.py::test_a_template_that_is_locked_is_waited_for",
             "provision/test_opentofu.py::test_two_environments_are_provisioned_at_once"),
        case(35, "a Proxmox token without audit rights", "the missing privilege is named; never \"no machines\"",
             "provision/test_proxmox.py::test_a_token_that_sees_nothing_is_told_from_a_site_with_nothing",
             "pipeline/test_doctor_opentofu.py::test_a_token_that_may_not_look_is_told_what_it_lacks"),
        case(36, "a certificate of Proxmox that has changed", "refused; the token is not sent",
             "provision/test_proxmox.py::test_a_changed_certificate_is_refused_and_no_token_sent",
             "provision/test_proxmox.py::test_another_authoritys_certificate_is_refused"),
        case(37, "a storage that is full at the clone", "nothing is left behind, and the next run makes it",
             "provision/test_opentofu.py::test_a_full_storage_leaves_nothing_behind"),
        case(38, "a VM number or an address that another has", "refused, and whose it is",
             "provision/test_proxmox.py::test_an_orphan_is_ours_a_strangers_machine_stops_the_run",
             "provision/test_proxmox.py::test_an_address_that_another_machine_is_configured_with_is_taken",
             "provision/test_ready.py::test_an_address_is_taken_by_whoever_answers_also_by_a_refusal"),
        case(39, "an older state", "refused",
             "provision/test_opentofu.py::test_an_older_state_is_refused"),
        case(40, "the key of the state's encryption is wrong or missing", "refused; no plain state is written",
             "provision/test_opentofu.py::test_an_encrypted_state_needs_its_key"),
        case(41, "a provider that is not the lock file's", "refused",
             "provision/test_opentofu.py::test_another_provider_than_the_lock_files_is_refused",
             "provision/test_lock_file.py::"
             "test_one_repository_runs_with_the_published_provider_and_with_the_labs"),
        case(44, "a lock whose holder's computer is gone without a word", "freed within 60 s",
             "provision/test_interruptions.py::test_a_lock_whose_holders_computer_is_gone_is_freed"),
        case(45, "a database without a free connection", "told once, worth repeating; not hammered",
             "provision/test_opentofu.py::test_a_database_without_a_free_connection_is_told_and_not_hammered"),
        case(55, "cloud-init that never ends", "ends in time, with the last lines of its log",
             "provision/test_proxmox.py::test_cloud_init_that_never_ends_shows_its_log"),
    ),
    "Deploy and machine": (
        case(48, "a template in a variable", "inert",
             "deploy/test_ansible.py::test_a_hostile_value_arrives_as_it_is",
             "deploy/test_inventory.py::test_every_text_from_outside_is_marked_unsafe",
             "deploy/test_inventory.py::test_hostile_values_are_refused"),
        case(49, "another host key", "refused, also right after a good deploy",
             "deploy/test_machine.py::test_another_host_key_is_refused_also_right_after_a_good_deploy",
             "provision/test_proxmox.py::test_a_changed_host_key_stops_before_the_machine_is_asked",
             "provision/test_ready.py::test_sshd_answers_with_the_machines_own_key"),
        case(50, "ssh that is cut in the middle", "the next run finishes; no request fails",
             "faults/test_machine.py::test_a_session_that_is_cut_in_the_middle_is_finished_by_the_next_run"),
        case(51, "a machine that reboots in the middle", "the next run finishes",
             "faults/test_machine.py::test_a_machine_that_is_rebooted_in_the_middle_is_finished_by_the_next_run"),
        case(52, "an engine that is stopped or hangs", "the site's fault within a time limit; heals",
             "faults/test_machine.py::test_an_engine_that_is_stopped_or_hangs_is_the_sites_fault_and_heals"),
        case(53, "a disk that is full before or during the pull", "the old containers go on",
             "scaffold/ansible/test_on_machine.py::test_a_disk_that_would_be_too_full_is_found_before_anything_stops",
             "faults/test_machine.py::test_a_disk_that_fills_up_during_the_pull_stops_nothing"),
        case(54, "two runs at one machine, and a stale one", "the second waits; the stale one is refused",
             "scaffold/ansible/test_on_machine.py::test_a_busy_machine_names_the_holder",
             "scaffold/ansible/test_on_machine.py::test_a_stale_release_is_refused_and_one_by_hand_is_not"),
        case(56, "somebody runs docker compose by hand", "seen by the next look, taken back by the next deploy",
             "faults/test_machine.py::test_what_somebody_did_by_hand_is_seen_and_taken_back"),
    ),
    "Verify": (
        case(63, "200 with the old version", "fails",
             "verify/test_http.py::test_a_200_with_the_old_version_fails",
             "e2e/test_failures.py::test_a_wrong_version_is_caught_and_notes_outlive_the_way_back"),
        case(64, "healthy for some seconds, then a crash loop", "fails, and is rolled back",
             "verify/test_base.py::test_a_release_that_dies_in_its_first_seconds_fails",
             "e2e/test_failures.py::test_an_image_that_crashes_later_is_caught"),
        case(65, "every other answer is wrong", "fails",
             "verify/test_base.py::test_a_release_that_flaps_fails"),
        case(66, "a redirect to another host, a huge body, an expired certificate", "fails, bounded",
             "verify/test_http.py::test_a_redirect_to_another_host_is_not_followed",
             "verify/test_http.py::test_an_endless_body_is_bounded",
             "verify/test_http.py::test_an_expired_certificate_fails"),
        case(67, "a wrong digest on one service", "the whole release fails",
             "verify/test_checks.py::test_a_wrong_digest_on_one_service_fails_the_release"),
        case(68, "the image of the way back is gone from the registry", "told before the deploy, by the look that "
             "finds the new one; a tag keeps it on the machine; where it is gone there too, the return fails and says "
             "so",
             "faults/test_registry.py::test_a_way_back_that_the_registry_has_lost_is_told_before_the_deploy",
             "scaffold/ansible/test_on_machine.py::test_images_of_old_releases_go_and_those_of_the_newest_stay",
             "pipeline/test_endings.py::test_a_failed_return_stops_and_says_so"),
        case(69, "a return that fails too", "stops and says so; no loop",
             "pipeline/test_endings.py::test_a_failed_return_stops_and_says_so",
             "e2e/test_failures.py::test_a_way_back_that_fails_too_ends_and_says_so"),
        case(70, "an application that must not be rolled back", "held",
             "pipeline/test_endings.py::test_hold_holds"),
    ),
    "Processes and disk": (
        case(71, "every step killed at three points, in four ways", "[the kill matrix](kill-matrix.md)",
             "faults/test_kill_matrix.py::test_whatever_is_lost_the_invariants_hold",
             "faults/test_kill_matrix.py::test_every_cell_has_been_tried_and_holds",
             "e2e/test_interruptions.py::test_killed_at_a_steps_boundary_it_goes_on_where_it_was",
             "e2e/test_interruptions.py::test_killed_alone_the_machines_lock_keeps_order",
             "e2e/test_interruptions.py::test_killed_in_the_middle_of_a_rollout_it_finishes",
             "faults/test_machine.py::"
             "test_killed_between_any_two_steps_no_request_fails_and_the_next_run_finishes"),
        case(72, "SIGTERM while a stage works", "its programs are stopped in order, the run is gone on with",
             "cli/test_detect_and_bump.py::test_interrupted_it_says_so_in_one_document_and_ends_with_130",
             "pipeline/test_runs.py::test_interrupted_it_can_be_gone_on_with",
             "deploy/test_ansible.py::test_an_interrupt_stops_ansible_and_wipes_its_directory"),
        case(73, "Ansible killed for want of memory", "the site's fault; no process and no file is left",
             "faults/test_processes.py::test_ansible_that_runs_out_of_memory_is_the_sites_fault_and_leaves_nothing"),
        case(77, "a disk that is full here", "refused before anything changes; nothing is corrupt",
             "faults/test_processes.py::"
             "test_a_disk_that_takes_nothing_more_stops_a_run_before_it_changes_anything"),
        case(78, "no inodes, or a read-only disk here", "the same",
             "faults/test_processes.py::"
             "test_a_disk_that_takes_nothing_more_stops_a_run_before_it_changes_anything"),
        case(79, "a clock that is an hour off, here or on the machine", "a run is gone on with and a deploy goes as "
             "ever; doctor says so",
             "faults/test_clock.py::test_what_a_clock_that_is_an_hour_off_wrote_is_gone_on_with",
             "faults/test_machine.py::test_a_machine_whose_clock_is_an_hour_off_is_deployed_to_as_ever",
             "registry/test_watcher.py::test_a_clock_that_was_set_back_makes_nothing_younger_than_new",
             "pipeline/test_doctor.py::test_clock"),
    ),
    "PostgreSQL": (
        case(42, "a server that restarts during a step", "waited for; nothing is done twice",
             "faults/test_postgresql.py::test_a_server_that_is_restarted_during_a_step_is_waited_for",
             "faults/test_postgresql.py::test_a_killed_run_is_gone_on_with_from_the_database",
             "provision/test_interruptions.py::test_a_database_that_stops_in_mid_apply_loses_nothing",
             "provision/test_interruptions.py::"
             "test_a_database_that_is_restarted_again_and_again_loses_nothing"),
    ),
    "Secrets": (
        case(94, "a canary in every credential, through a success and failures", "found nowhere, in eight encodings",
             "e2e/test_secrets.py::test_a_success_and_failures_leave_no_secret_behind",
             "e2e/test_secrets.py::test_the_canaries_are_there_to_be_found"),
        case(95, "all processes' arguments and variables, again and again", "found nowhere",
             "e2e/test_secrets.py::test_a_success_and_failures_leave_no_secret_behind",
             "deploy/test_ansible.py::test_a_secret_is_in_no_process_and_in_no_file_afterwards"),
        case(96, "a key of many lines, `$` and quotes, three characters", "masked, or refused as too short to mask",
             "test_process.py::test_every_line_of_a_key_is_masked",
             "test_process.py::test_secret_is_masked_in_other_encodings",
             "config/test_secrets.py::test_secret_too_short_to_mask_is_refused"),
        case(97, "an address with user and password in an error", "masked",
             "deployment_repo/test_git.py::test_a_password_in_the_remotes_address_is_masked",
             "deployment_repo/test_git.py::test_an_address_never_shows_its_password"),
        case(100, "what Ansible leaves behind", "wiped, also after a kill, by the next run",
             "deploy/test_private.py::test_an_interrupt_wipes_it_too",
             "deploy/test_private.py::test_what_a_killed_process_left_is_wiped_by_the_next_and_the_living_ones_stays",
             "faults/test_processes.py::test_what_a_killed_run_left_in_the_temporary_directory_is_wiped_by_the_next"),
    ),
    "Fuzzing": (
        case(0, "whatever strangers write", "a value, or the one kind of error that is allowed",
             "fuzz/test_fuzz.py::test_no_input_breaks_it"),
    ),
}  # fmt: skip


def faults_page() -> str:
    """Case by case: the fault, what comes of it, the tests."""
    parts = [
        "# Faults",
        "Made by `make docs` from `tools/faults.py`. What can go wrong, what must come of it, and the tests (below "
        "`tests/`) that can fail. Numbers are those of the project's list of threats. What takes too long for every "
        "test run is run by hand: `make faults` (the kill matrix, here and on a machine), "
        "`python -m tests.faults.contention`, `python -m tests.fuzz`, `python -m benchmarks.soak`.",
    ]
    for area, cases in CASES.items():
        rows = [("case", "fault", "outcome", "tests"), ("---",) * 4, *map(_row, cases)]
        parts += [f"## {area}", "\n".join(f"| {' | '.join(row)} |" for row in rows)]
    return "\n\n".join(parts) + "\n"


def _row(one: Case) -> tuple[str, ...]:
    tests = "<br>".join(f"`{test}`" for test in one.tests)
    return (str(one.number or ""), one.fault, one.outcome, tests)


def matrix_page() -> str:
    """What became of each cell, as it was recorded."""
    record: Mapping[str, Sequence[str]] = json.loads((RECORDS / "kill-matrix.json").read_text())
    places = list(dict.fromkeys(cell.split()[0] for cell in record))
    rows = [("step:point", *WAYS), ("---",) * (1 + len(WAYS))]
    rows += [(f"`{place}`", *(_held(record.get(f"{place} {way}")) for way in WAYS)) for place in places]
    parts = [
        "# The kill matrix",
        "Made by `make docs` from what `python -m tests.faults.matrix` recorded: git, processes and databases are "
        "real, the machine is a file. `before` is before a step's effect, `after-effect` when it is done and not "
        "recorded, `after` when it is recorded.",
        "\n".join(f"- **{way}**: {meaning}" for way, meaning in WAYS.items()),
        "*holds*: the story ended as it should (proven; or the one before proven again), one more look found nothing "
        "to do, and one checker (`tests/faults/checker.py`), which reads git, notes, the machine and DBOS, found every "
        "invariant of the design kept.",
        "\n".join(f"| {' | '.join(row)} |" for row in rows),
        *_machine_part(),
    ]
    return "\n\n".join(parts) + "\n"


def _machine_part() -> list[str]:
    path = RECORDS / "machine-matrix.json"
    if not path.exists():
        return []
    record: Mapping[str, Sequence[str]] = json.loads(path.read_text())
    rows = [("step:point", "alone"), ("---", "---"), *((f"`{cell}`", _held(found)) for cell, found in record.items())]
    return [
        "## On a machine of the lab",
        "`python -m tests.faults.machine_matrix`, at the moments in which a machine takes part: the real playbook, "
        "engine and application; one commit, the image runs in one container by its digest, answers, is proven, and "
        "nothing is left to do.",
        "\n".join(f"| {' | '.join(row)} |" for row in rows),
    ]


def _held(found: Sequence[str] | None) -> str:
    return "not tried" if found is None else "; ".join(found) or "holds"
