"""Programs are started, watched, masked and stopped."""

import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fairlead.errors import ProgramFailed, ProgramInterrupted, ProgramMissing, ProgramTimedOut
from fairlead.process import LONGEST_LINE, Mask, beside, inherited, run, running


def python(source: str) -> list[str]:
    return [sys.executable, "-u", "-c", textwrap.dedent(source)]


def test_output_and_exit_code_come_back() -> None:
    completed = run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"), expect=(0, 3))
    assert (completed.exit_code, completed.stdout, completed.stderr) == (3, "out\n", "err\n")


def test_arguments_are_never_read_by_a_shell(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hostile = f"$(touch {canary}); `touch {canary}` | touch {canary}\n&& touch {canary}"
    assert run([*python("import sys; print(sys.argv[1], end='')"), hostile]).stdout == hostile
    assert not canary.exists()


def test_standard_input_larger_than_a_pipe_arrives_whole() -> None:
    text = "x" * 300_000
    assert run(python("import sys; sys.stdout.write(sys.stdin.read())"), stdin=text).stdout == text


def test_bytes_that_are_no_text_come_back_as_they_were() -> None:
    completed = run(python("import os; os.write(1, bytes(range(256)) * 400)"), encoding="latin-1")
    assert completed.stdout.encode("latin-1") == bytes(range(256)) * 400


def test_unexpected_exit_code_names_the_program_and_its_last_words() -> None:
    with pytest.raises(ProgramFailed, match=r"exit code 7") as caught:
        run(python("import sys; print('the disk is full', file=sys.stderr); sys.exit(7)"))
    assert caught.value.why == "the disk is full"


def test_death_by_signal_is_named() -> None:
    with pytest.raises(ProgramFailed, match="killed by SIGKILL"):
        run(python("import os; os.kill(os.getpid(), 9)"))


def test_missing_program_says_what_to_install() -> None:
    with pytest.raises(ProgramMissing, match="no-such-program is not installed"):
        run(["no-such-program"])


def test_missing_directory_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match="cannot start in"):
        run(["true"], cwd=tmp_path / "absent")


def test_secret_is_masked_in_output_lines_errors_and_argv() -> None:
    lines: list[str] = []
    source = "import sys; print('a hunter22 b'); print(sys.argv[1], file=sys.stderr); sys.exit(1)"
    with pytest.raises(ProgramFailed) as caught:
        run([*python(source), "hunter22"], mask=Mask(["hunter22"]), on_line=lambda _, line: lines.append(line))
    assert sorted(lines) == ["***", "a *** b"]
    assert "hunter22" not in str(caught.value)


def test_secret_split_across_chunks_is_masked() -> None:
    source = (
        "import sys, time\nfor c in 'say hunter22 now\\n': sys.stdout.write(c); sys.stdout.flush(); time.sleep(.002)"
    )
    assert run(python(source), mask=Mask(["hunter22"])).stdout == "say *** now\n"


def test_secret_across_the_cut_of_an_endless_line_is_masked() -> None:
    for shift in range(12):
        source = f"print('x' * {LONGEST_LINE - shift} + 'hunter22' + 'y' * {LONGEST_LINE})"
        output = run(python(source), mask=Mask(["hunter22"])).stdout
        assert output == "x" * (LONGEST_LINE - shift) + "***" + "y" * LONGEST_LINE + "\n"


def test_endless_line_without_secrets_is_kept_byte_for_byte() -> None:
    source = f"print('é' * {LONGEST_LINE * 3}, end='')"
    assert run(python(source)).stdout == "é" * (LONGEST_LINE * 3)


@pytest.mark.parametrize(
    "printed",
    ["p%40ss%2Fword%24", "p@ss/word$$", "cEBzcy93b3JkJA", "p@ss/word$"],
    ids=["url", "compose", "base64", "raw"],
)
def test_secret_is_masked_in_other_encodings(printed: str) -> None:
    assert "***" in Mask(["p@ss/word$"])(f"a {printed} b")
    assert printed not in Mask(["p@ss/word$"])(f"a {printed} b")


def test_every_line_of_a_key_is_masked() -> None:
    mask = Mask(["-----BEGIN KEY-----\nabcdef\nghijkl\n-----END KEY-----"])
    assert mask("abcdef") == "***"


def test_time_limit_stops_the_program_and_everything_that_it_started(tmp_path: Path) -> None:
    pid_file, started = tmp_path / "pid", tmp_path / "started"
    source = f"""
        import pathlib, signal, subprocess, sys, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        deaf = "import signal, time; signal.signal(2, signal.SIG_IGN); time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-c", deaf])
        pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))
        pathlib.Path({str(started)!r}).touch()
        time.sleep(600)
    """
    for limit in (1, 10, 100):  # on a slow machine it may be stopped before it has begun
        with pytest.raises(ProgramTimedOut, match=f"did not end within {limit} s"):
            run(python(source), timeout=limit, grace=0.2)
        if started.exists():
            break
    assert _is_gone(int(pid_file.read_text()))


def test_first_signal_is_one_interrupt_and_the_program_may_finish(tmp_path: Path) -> None:
    record = tmp_path / "record"
    source = f"""
        import pathlib, signal, sys, time
        def finish(*_):
            pathlib.Path({str(record)!r}).write_text("state saved")
            sys.exit(0)
        signal.signal(signal.SIGINT, finish)
        print("ready", flush=True)
        time.sleep(60)
    """

    def interrupt(_: str, line: str) -> None:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(ProgramInterrupted):
        run(python(source), on_line=interrupt, grace=20)
    assert record.read_text() == "state saved"


def test_an_interrupt_when_the_program_has_just_ended_is_an_interrupt() -> None:
    def interrupt(_: str, line: str) -> None:
        assert _is_gone(int(line))
        raise KeyboardInterrupt

    with pytest.raises(ProgramInterrupted):
        run(python("import os; print(os.getpid())"), on_line=interrupt)


def test_background_child_that_keeps_the_pipe_does_not_hold_us() -> None:
    source = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"], start_new_session=True)
        print(child.pid)
    """
    completed = run(python(source))
    os.kill(int(completed.stdout), signal.SIGKILL)


def test_children_do_not_inherit_secrets() -> None:
    os.environ["TF_VAR_proxmox_api_token"] = "canary-token"
    try:
        assert "TF_VAR_proxmox_api_token" not in inherited()
        assert "canary-token" not in run(python("import os; print(dict(os.environ))")).stdout
    finally:
        del os.environ["TF_VAR_proxmox_api_token"]


def test_interrupt_stops_programs_of_other_threads() -> None:
    source = """
        import sys, threading
        from fairlead import process
        from fairlead.errors import ProgramInterrupted

        started = threading.Event()

        def work():
            try:
                long = [sys.executable, "-c", "print(flush=True); import time; time.sleep(60)"]
                process.run(long, on_line=lambda *_: started.set())
            except ProgramInterrupted:
                print("stopped")

        thread = threading.Thread(target=work)
        thread.start()
        started.wait()
        process.interrupt()
        thread.join()
    """
    assert run(python(source), timeout=30).stdout == "stopped\n"


PLACES = [
    ("c_return", "fork_exec"),
    ("return", "Popen._execute_child"),
    ("return", "Popen.__init__"),
    ("call", "_watch"),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_while_a_program_starts_stops_it(place: tuple[str, str], number: signal.Signals) -> None:
    before, handler = children(), signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises((ProgramInterrupted, KeyboardInterrupt)) as caught, _interrupted_at(place, number):
            run(["sleep", "60"])
        assert caught.type is ProgramInterrupted
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, handler)
    assert children() == before


def test_an_interrupt_while_a_head_start_starts_ends_it() -> None:
    before = children()
    with pytest.raises(KeyboardInterrupt), _interrupted_at(PLACES[0], signal.SIGINT), beside(["sleep", "60"], {}):
        raise AssertionError("it is told before the block")
    assert children() == before


def test_an_interrupt_is_not_lost_where_no_program_starts(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), _interrupted_at(PLACES[0], signal.SIGINT):
        run(["sleep", "60"], cwd=tmp_path / "absent")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@contextmanager
def _interrupted_at(place: tuple[str, str], number: signal.Signals) -> Iterator[None]:
    """This thread gets the signal when Python says that it is there (sys.setprofile)."""

    def profile(frame: FrameType, event: str, function: Any) -> None:
        if (event, function.__name__ if event == "c_return" else frame.f_code.co_qualname) == place:
            sys.setprofile(None)
            signal.raise_signal(number)

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _interrupted_at(PLACES[0], signal.SIGHUP):
            run(["true"])
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, handler)


def test_a_program_that_the_system_cannot_start_is_told_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match="true cannot start: Argument list too long"):
        run(["true", "x" * 200_000])
    (tmp_path / "program").write_bytes(b"\0")
    (tmp_path / "program").chmod(0o700)
    with pytest.raises(ProgramFailed, match="program cannot start: Exec format error"):
        run([tmp_path / "program"])


def test_what_runs_is_known_by_its_name() -> None:
    seen: list[list[str]] = []
    run(python("print()"), on_line=lambda *_: seen.append(running()))
    assert (seen, running()) == ([[Path(sys.executable).name]], [])


def _is_gone(pid: int) -> bool:
    for _ in range(1200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_head_start_ends_with_its_block(tmp_path: Path) -> None:
    mark, begun, before = tmp_path / "mark", time.monotonic(), children()
    with beside([sys.executable, "-c", f"open({str(mark)!r}, 'w'); import time; time.sleep(60)"], {}):
        while not mark.exists():
            assert time.monotonic() - begun < 30
            time.sleep(0.01)
        (child,) = children() - before
    assert child not in children()


def test_how_a_head_start_ended_is_told_however_much_it_printed() -> None:
    with beside([sys.executable, "-c", "print('said' * 100_000); raise SystemExit(3)"], {}) as program:
        assert program.exit_code() == 3
    with beside(["sleep", "60"], {}) as program:
        program.kill()
        assert program.exit_code() == -signal.SIGKILL


def test_a_head_start_without_its_program_is_none() -> None:
    with beside(["no-such-program"], {}) as program:
        assert program.exit_code() is None
        program.kill()


def children() -> set[str]:
    """The ids of this process's children, ended ones too."""
    return set(Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split())
