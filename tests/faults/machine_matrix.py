"""The kill matrix once more, on a machine of the lab: the real playbook, module, engine and application.

    python -m tests.faults.machine_matrix [STEP:POINT ...]

kills the process alone at the moments in which a machine takes part; the kill matrix has all others too. Takes some
minutes, prints a table and, when all places were tried, writes what came to machine-matrix.json, from which `make docs`
makes the page.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

from fairlead.lab.site import Lab
from tests.e2e.operator import Operator, Said
from tests.faults.matrix import POINTS
from tools.faults import RECORDS

STEPS = ("deploy", "verify", "rollback-deploy", "rollback-verify")
PLACES = tuple(f"{step}:{point}" for step in STEPS for point in POINTS)


def violations(shop: Operator, place: str) -> list[str]:
    """Kill a run there and run again: what is not as it should be."""
    back = place.startswith("rollback")
    before, version = shop.head, shop.version()
    new = shop.push("wrong-version" if back else "")
    shop.crash(place)
    said = shop.run()
    return [
        text for text, wrong in _findings(shop, said, before, version if back else str(new.tag), back=back) if wrong
    ]


def _findings(shop: Operator, said: Said, before: str, serving: str, *, back: bool) -> list[tuple[str, bool]]:
    proof = shop.proof()
    return [
        (f"ended with {said.code}: {said.text}", said.code != (6 if back else 0)),
        (f"commits: {shop.since(before)}", len(shop.since(before)) != (2 if back else 1)),
        (f"{shop.version()} serves, not {serving}", shop.version() != serving),
        (f"containers: {shop.containers('backend')}", len(shop.containers("backend")) != 1),
        ("the head is not proven", proof is None or proof.commit != shop.head),
        ("something is left to do", shop.run().document["outcome"] != "none"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", nargs="*", metavar="STEP:POINT", help="default: all")
    places = parser.parse_args().places or PLACES
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        shop, record = Operator(Lab(f"matrix-{os.getpid()}", root / "state"), root), {}
        try:
            shop.begin()
            for place in places:
                shop.settle()
                record[place] = violations(shop, place)
                print(f"{place:30} {record[place] or 'holds'}", flush=True)  # noqa: T201
        finally:
            shop.lab.down()
    if places is PLACES:
        (RECORDS / "machine-matrix.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
