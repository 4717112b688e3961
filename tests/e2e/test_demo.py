from __future__ import annotations

import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING

from tests.program import COMMAND, until

if TYPE_CHECKING:
    from pathlib import Path


def test_demo_shows_the_main_job_and_exits() -> None:
    """The demo shows refreshes of both users' tokens, acts as each user, shows the refused theft, and exits with 0."""
    done = subprocess.run([*COMMAND, "demo"], capture_output=True, text=True, check=True, timeout=60)

    for name in ("alice", "bob"):
        assert f"{name}'s credentials.json acts as task-{name}@my-project.iam.gserviceaccount.com" in done.stdout
        assert len(set(re.findall(rf"{name} +new token, expires \S+, fingerprint (\w{{8}})", done.stdout))) >= 3
    assert "Google answers 403: Permission 'iam.serviceAccounts.getAccessToken' denied" in done.stdout
    assert re.search(r"^  \S*refresher demo --keep ", done.stdout, re.MULTILINE)
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_demo_works_when_a_proxy_is_set() -> None:
    """With a proxy in the environment, the demo still only calls the emulator on this machine."""
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    variables = {**os.environ, **proxies, "NO_PROXY": "", "no_proxy": ""}

    subprocess.run([*COMMAND, "demo"], env=variables, capture_output=True, check=True, timeout=60)


def test_lines_to_paste_work_in_another_shell(tmp_path: Path) -> None:
    """With `--keep`, the printed lines, pasted as they are, act as alice in another shell, while the demo goes on."""
    output = tmp_path / "output"
    with output.open("w") as file:
        demo = subprocess.Popen([*COMMAND, "demo", "--keep", "--directory", str(tmp_path / "demo")], stdout=file)
    try:
        until(lambda: "\nEND" in output.read_text(), what="the lines to paste")
        pasted = output.read_text().rpartition("Ctrl-C here ends the demo\n")[2]

        done = subprocess.run(
            ["sh", "-c", pasted],
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    finally:
        demo.send_signal(signal.SIGINT)

    assert "task-alice@my-project.iam.gserviceaccount.com" in done.stdout
    assert demo.wait(30) == 0
