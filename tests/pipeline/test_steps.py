"""How steps are stopped: Ctrl-C while a stage's program works."""

import os
import signal
import sys
from pathlib import Path

from fairlead import process

# A run's process: the stage in a thread, its program ends one second after somebody waits for it, much later than the
# grace of a stage that runs none. With "again", the program gives its parent a second Ctrl-C and then does not end.
RUN = r"""
import os, signal, sys, threading
from pathlib import Path
from fairlead import process
from fairlead.pipeline.log import RunLog
from fairlead.pipeline.steps import Steps

place, again = Path(sys.argv[1]), sys.argv[2:] == ["again"]
program = '''
import os, signal, sys, time
def ends(*_):
    print("told to end", flush=True)
    if sys.argv[2:]:
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(600)
    while not os.path.exists(sys.argv[1] + "/asked"):
        time.sleep(0.01)
    time.sleep(1)
    open(sys.argv[1] + "/saved", "w")
    sys.exit()
signal.signal(signal.SIGINT, ends)
open(sys.argv[1] + "/pid", "w").write(str(os.getpid()))
print("began", flush=True)
time.sleep(600)
'''

class Stages:
    def provision(self, commit, run):
        process.run([sys.executable, "-c", program, *sys.argv[1:]], grace=600, on_line=lambda *_: began.set())

def work():
    try:
        steps._act("r", "provision", steps.stages.provision, ("c", "r"))
    except KeyboardInterrupt:
        ended.append("the step was interrupted")

def waits(programs):
    print("waits for", *programs, flush=True)
    (place / "asked").touch()

began, ended = threading.Event(), []
steps = Steps(Stages(), lambda run: RunLog(place, run, lambda entry: None, str), str)
thread = threading.Thread(target=work, daemon=True)
thread.start()
began.wait()
try:
    steps.stop(0.01, waits)
    print("stopped, saved:", (place / "saved").exists(), process.running())
    thread.join()
    print(*ended, flush=True)
except KeyboardInterrupt:
    print("left", *process.running(), flush=True)
os._exit(0)
"""


def test_a_program_that_ends_in_order_is_waited_for(tmp_path: Path) -> None:
    name = Path(sys.executable).name
    said = process.run([sys.executable, "-c", RUN, tmp_path], timeout=60).stdout.splitlines()
    assert said == [f"waits for {name}", "stopped, saved: True []", "the step was interrupted"]


def test_a_second_interrupt_waits_for_nothing(tmp_path: Path) -> None:
    said = process.run([sys.executable, "-c", RUN, tmp_path, "again"], timeout=60).stdout
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert said.endswith(f"left {Path(sys.executable).name}\n")
    assert not (tmp_path / "saved").exists()
