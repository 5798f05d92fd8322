"""The harness: what it takes, what it refuses, and that steps, results and aborts are Jenkins' own."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.cicd.jenkins.server import SCRIPT, Jenkins, refusals
from tests.fixtures.git import Site, git, make_site

SMALL = """\
pipeline {
  agent { label 'any' }
  options { timeout(time: 1, unit: 'HOURS') }
  parameters { string(name: 'WORD', defaultValue: 'hello', description: 'What to say') }
  environment { PLAIN = "${params.WORD} there" }
  stages {
    stage('One') {
      environment { TOKEN = credentials('token'); LOGIN = credentials('login'); KEY = credentials('key') }
      steps {
        sh 'test "$PLAIN" = "hello there"; echo "$TOKEN $LOGIN_PSW $KEY_USR" > seen; cat "$KEY" >> seen; echo $TOKEN'
        sh 'mkdir result; echo kept > result/kept.txt; echo "<testsuite><testcase/></testsuite>" > result/a.xml'
        script { env.FOUND = sh(script: 'echo found', returnStdout: true).trim() }
      }
    }
    stage('Two') {
      when { expression { env.FOUND == 'found' } }
      steps { twice('test -z "$TOKEN" -a $FOUND = found') }
      post {
        always { junit testResults: 'result/*.xml', allowEmptyResults: true }
        success { archiveArtifacts artifacts: 'result/kept.txt' }
        cleanup { sh 'rm -rf result' }
      }
    }
    stage('Three') {
      when { expression { env.NEVER } }
      steps { sh 'exit 1' }
    }
  }
  post {
    success { script { currentBuild.description = "said ${env.FOUND}" } }
    failure { script { currentBuild.description = 'it failed' } }
    aborted { script { currentBuild.description = 'stopped' } }
  }
}

def twice(String command) {
  sh command
  int code = sh(script: command, returnStatus: true)
  if (code != 0) { error("Exit code ${code}") }
}
"""
TOKEN = "canary-of-a-token"
CREDENTIALS: Mapping[str, Mapping[str, str]] = {
    "token": {"kind": "text", "value": TOKEN},
    "login": {"kind": "login", "user": "robot", "value": "canary-of-a-login"},
    "key": {"kind": "key", "user": "git", "value": "canary-of-a-key"},
}


def jenkins(root: Path, harness: str, file: str) -> Jenkins:
    """A pipeline whose repository has this file."""
    site: Site = make_site(root)
    site.write({SCRIPT: file}, "Add the Jenkinsfile")
    agent = {"PATH": os.environ["PATH"], "HOME": str(root)}
    return Jenkins(root / "jenkins", site.url, agent, CREDENTIALS, harness)


def test_stages_steps_parameters_and_credentials(tmp_path: Path, harness: str) -> None:
    build = jenkins(tmp_path, harness, SMALL).build()
    assert (build.result, build.description) == ("SUCCESS", "said found"), build
    assert build.stages == {"One": "SUCCESS", "Two": "SUCCESS", "Three": "SKIPPED"}
    workspace = tmp_path / "jenkins" / "workspace"
    assert (workspace / "seen").read_text().split() == [TOKEN, "canary-of-a-login", "git", "canary-of-a-key"]
    assert (build.tests, build.archived) == ({"": True}, {"result/kept.txt": "kept\n"})
    assert not (workspace / "result").exists()
    assert "+ echo ****" in build.log
    assert "canary" not in build.log
    assert [*Path(f"{workspace}@tmp").glob("secretFiles*")] == []
    assert git(workspace, "rev-parse", "--abbrev-ref", "HEAD") == "HEAD"  # detached, as Jenkins leaves it


def test_a_failing_step_ends_the_build_and_an_abort_is_told_from_it(tmp_path: Path, harness: str) -> None:
    file = SMALL.replace("sh command\n", "sh 'echo $$ > pid; sleep 600 & wait'\n")
    server = jenkins(tmp_path, harness, file)
    failed = server.build(WORD="another")
    assert (failed.result, failed.description) == ("FAILURE", "it failed"), failed
    assert failed.stages == {"One": "FAILURE"}
    running = server.start()
    pid = tmp_path / "jenkins" / "workspace" / "pid"
    running.wait_until(lambda: pid.exists() and pid.read_text().strip(), "its shell has said who it is")
    running.abort()
    aborted = server.finish(running)
    assert (aborted.result, aborted.description) == ("ABORTED", "stopped"), aborted
    assert aborted.stages == {"One": "SUCCESS", "Two": "ABORTED"}
    assert not Path("/proc", pid.read_text().strip()).exists()


def test_a_failed_case_makes_a_build_unstable_which_is_no_success(tmp_path: Path, harness: str) -> None:
    file = SMALL.replace("<testcase/>", "<testcase><failure/></testcase>")
    build = jenkins(tmp_path, harness, file).build()
    assert (build.result, build.stages["Two"], build.description) == ("UNSTABLE", "SUCCESS", None), build
    assert (build.tests, build.archived) == ({"": False}, {})


BAD = {
    "pipeline { agent { label 'a' } }": "pipeline has no stages",
    "node { sh 'true' }": "one pipeline { } is needed",
    SMALL.replace("agent { label 'any' }", "agent any"): "agent has no { }",
    SMALL.replace("agent { label 'any' }", "agent { docker 'a' }"): "in agent: ",
    SMALL.replace("options {", "libraries { }\n  options {"): "in pipeline: ",
    SMALL.replace("timeout(time: 1, unit: 'HOURS')", "ansiColor('xterm')"): "in options: ",
    SMALL.replace("steps { twice", "parallel { twice"): "in stage: ",
    SMALL.replace("steps { sh 'exit 1' }", "steps { def code = 1 }"): "in steps only steps may stand",
    SMALL.replace("when { expression { env.NEVER } }", "when { branch 'main' }"): "in when: ",
    SMALL.replace("aborted {", "unstable {"): "in post: ",
    SMALL.replace("PLAIN =", "FIRST = 1; PLAIN ="): "the value of FIRST is no text",
    SMALL.replace("sh 'exit 1'", 'sh "echo ${TOKEN}"'): "Groovy reads the secret TOKEN",
    SMALL.replace("sh 'exit 1'", 'sh "echo ${env.LOGIN_PSW}"'): "Groovy reads the secret LOGIN_PSW",
    SMALL.replace("sh command", "echo env.KEY"): "Groovy reads the secret KEY",
}


def test_what_jenkins_or_the_harness_does_not_have_is_refused(tmp_path: Path, harness: str) -> None:
    files = [tmp_path / str(number) for number in range(len(BAD) + 1)]
    for file, text in zip(files, [*BAD, SMALL], strict=True):
        file.write_text(text)
    told = refusals(harness, files)
    assert told[-1] == ""
    for said, expected in zip(told, BAD.values(), strict=False):
        assert said.startswith(expected), (said, expected)


def test_a_step_or_an_option_that_is_not_covered_ends_the_build(tmp_path: Path, harness: str) -> None:
    site = tmp_path / "one"
    for step in ("stash 'all'", "sh(script: 'true', label: 'nothing')", 'sh "echo ${params.WORD}"'):
        site.mkdir()
        build = jenkins(site, harness, SMALL.replace("steps { twice", f"steps {{ {step}; twice")).build()
        assert (build.result, build.stages["Two"]) == ("FAILURE", "FAILURE"), build
        assert "ERROR: the step stash" in build.log or "ERROR: sh(" in build.log, build
        shutil.rmtree(site)
