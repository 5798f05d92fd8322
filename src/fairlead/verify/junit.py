"""A verification as JUnit XML, which Jenkins and GitLab show as test results.

Format: the `testsuites` that both read (Jenkins JUnit plugin's schema; GitLab, "Unit test reports").
"""

import xml.etree.ElementTree as ET

from fairlead.verify.base import CheckResult, Verification, plain


def to_junit(verification: Verification, suite: str) -> bytes:
    """One test case per check; what could not be seen is an error, not a failure. suite: `verify staging`."""
    results = verification.results
    seconds = (verification.ended - verification.began).total_seconds()
    counts = {
        "tests": str(len(results)),
        "failures": str(sum(not result.passed and not result.fault for result in results)),
        "errors": str(sum(result.fault for result in results)),
        "time": f"{seconds:.3f}",
    }
    root = ET.Element("testsuites")
    element = ET.SubElement(
        root, "testsuite", {"name": plain(suite), "timestamp": verification.began.isoformat(), **counts}
    )
    for result in results:
        _add(element, result, suite)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _add(suite: ET.Element, result: CheckResult, name: str) -> None:
    place = {"classname": plain(name), "name": plain(result.name), "time": f"{result.latency_ms / 1000:.3f}"}
    case = ET.SubElement(suite, "testcase", place)
    if not result.passed:
        kind = "error" if result.fault else "failure"
        ET.SubElement(case, kind, {"message": plain(result.detail)}).text = plain(result.detail)
