"""A static scanner over the modules and examples: `make scan`.

Run it as a program with the path of checkov. All its checks of what we use must pass, and those of federation must have
run; `--skip-download` keeps it offline.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.terraform.tool import MODULES

FEDERATION = {"CKV_GCP_118", "CKV_GCP_125"}
"""A provider has an attribute condition; a GitHub provider has a narrow one."""


def scan(checkov: str) -> dict[str, Any]:
    """Run checkov and return its report."""
    arguments = ["-d", str(MODULES), "--framework", "terraform", "--skip-download", "-o", "json"]
    done = subprocess.run([checkov, *arguments], capture_output=True, text=True, check=False, timeout=300)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def main() -> int:
    """Scan, print what failed, and return the exit status."""
    report = scan(sys.argv[1])
    failed = [f"{check['check_id']} {check['resource']}" for check in report["results"]["failed_checks"]]
    made = {check["check_id"] for check in report["results"]["passed_checks"]}
    problems = failed + [f"{check} was not made" for check in sorted(FEDERATION - made)]
    told = problems or [
        f"{report['summary']['passed']} checks passed, of {report['summary']['resource_count']} resources"
    ]
    sys.stdout.write("\n".join(told) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
