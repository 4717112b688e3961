"""The recipes of docs/recipes.md, exactly as they are written, with substitutes for the tools."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from refresher.keys.jose import PrivateKey
from refresher.tokens import encode_base64url

if TYPE_CHECKING:
    from refresher.emulator.testing import Scenario
    from tests.conftest import Act
    from tests.program import Worker

GUIDE = Path(__file__).parents[2] / "docs" / "recipes.md"
KEY = PrivateKey.generate("ES256")
BEGIN = """#!{python}
import argparse, json, os, sys
tokens = json.load(open({tokens!r}))
parser = argparse.ArgumentParser(allow_abbrev=False)
"""
SPIRE = """
for word in ("api", "fetch", "jwt"):
    parser.add_argument(word, choices=[word])
for option in ("-audience", "-spiffeID", "-socketPath", "-output"):
    parser.add_argument(option, required=True)
asked = parser.parse_args()
assert (asked.output, asked.socketPath) == ("json", "/run/spire/sockets/agent.sock")
token = tokens.get(asked.audience + " " + asked.spiffeID)
if token is None:
    sys.exit("rpc error: code = PermissionDenied desc = no identity issued")
svids = [{"hint": "", "spiffe_id": asked.spiffeID, "svid": token}]
print(json.dumps([{"svids": svids}, {"bundles": {"spiffe://example.com": "e30="}}], indent="\\t"))
"""
AWS = """
for word in ("sts", "get-web-identity-token"):
    parser.add_argument(word, choices=[word])
for option in ("--audience", "--duration-seconds", "--query"):
    parser.add_argument(option, required=True)
parser.add_argument("--signing-algorithm", choices=["ES384", "RS256"], required=True)
parser.add_argument("--output", choices=["json", "text", "table"], required=True)
asked = parser.parse_args()
assert 60 <= int(asked.duration_seconds) <= 3600
if not os.environ.get("AWS_REGION"):
    sys.exit("You must specify a region.")
print({"WebIdentityToken": tokens[asked.audience + " arn:aws:iam::123456789012:role/worker"]}[asked.query])
"""
AZURE = """
for word in ("account", "get-access-token"):
    parser.add_argument(word, choices=[word])
for option in ("--resource", "--query"):
    parser.add_argument(option, required=True)
parser.add_argument("--output", choices=["json", "jsonc", "table", "tsv", "yaml"], required=True)
asked = parser.parse_args()
print({"accessToken": tokens[asked.resource + " 01234567-89ab-cdef-0123-456789abcdef"]}[asked.query])
"""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One section of the guide, with a substitute for its tool.

    Attributes:
        document: Its part of the configuration.
        scripts: Its scripts, by name.
    """

    document: dict[str, Any]
    scripts: dict[str, str]


def recipe_of(title: str, tools: Path) -> Recipe:
    """Read a section of the guide, with its tools in another directory."""
    section = GUIDE.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    section = section.replace("/usr/local/bin", str(tools))
    (document,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    scripts = re.findall(r"```sh\n(#!/bin/sh\n# ([\w-]+) .*?)```", section, re.DOTALL)
    return Recipe(document=yaml.safe_load(document), scripts={name: text for text, name in scripts})


def program(path: Path, text: str) -> None:
    """Write a program that only its owner can change."""
    path.parent.mkdir(mode=0o755, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def token_of(issuer: str, subject: str, audience: str) -> str:
    """Sign a token that lives an hour."""
    now = int(datetime.now(UTC).timestamp())
    claims = {"iss": issuer, "sub": subject, "aud": audience, "iat": now, "exp": now + 3600}
    message = ".".join(
        encode_base64url(json.dumps(part).encode()) for part in ({"alg": "ES256", "kid": KEY.kid}, claims)
    )
    return f"{message}.{encode_base64url(KEY.sign(message.encode()))}"


@pytest.mark.parametrize(
    ("title", "tool", "stand_in"),
    [("SPIFFE", "spire-agent", SPIRE), ("AWS", "aws", AWS), ("Azure", "az", AZURE)],
)
def test_recipe_goes_the_whole_way(
    cloud: tuple[Worker, Scenario], act: Act, title: str, tool: str, stand_in: str
) -> None:
    """With the guide's own lines the tool's token is published, and Google accepts it once its subject is bound."""
    worker, google = cloud
    recipe = recipe_of(title, worker.place / "bin")
    ((name, supplier),) = recipe.document["suppliers"].items()
    identity = recipe.document["identities"]["alice"]
    subject, account = identity["subject"], identity["service_account"]
    provider = recipe.document.get("providers", {}).get("azure", {"provider": "refresher"})
    trusted = google.add_provider(
        issuer=supplier["issuer"],
        jwks={"keys": [KEY.public_jwk]},
        provider=provider["provider"],
        allowed_audiences=[provider["audience"]] if "audience" in provider else None,
    )
    audience = provider.get("audience", trusted.token_audience)
    tokens = worker.place / "tokens.json"
    tokens.write_text(json.dumps({f"{audience} {subject}": token_of(supplier["issuer"], subject, audience)}))
    program(worker.place / "bin" / tool, BEGIN.format(python=sys.executable, tokens=str(tokens)) + stand_in)
    for script, text in recipe.scripts.items():
        program(worker.place / "bin" / script, text)
    worker.environment = {"PATH": f"{worker.place / 'bin'}:/usr/bin:/bin", "AWS_REGION": "eu-central-1"}
    worker.write(worker.document() | recipe.document | {"targets": {"alice": {}}})
    google.add_service_account(account)

    worker.once()
    refused = act(worker.directory("alice"), google)
    google.allow(account, subject=subject)
    accepted = act(worker.directory("alice"), google)

    status = worker.status()["alice"]
    assert (status["issuer"], status["subject"]) == (supplier["issuer"], subject)
    assert "iam.serviceAccounts.getAccessToken" in refused["refused"]
    assert accepted["service_account"] == account
    assert name in worker.command("check").stdout


def test_failing_agent_is_a_failure_of_supply(cloud: tuple[Worker, Scenario]) -> None:
    """A script whose tool fails prints nothing that looks like a token."""
    worker, _ = cloud
    recipe = recipe_of("SPIFFE", worker.place / "bin")
    (worker.place / "tokens.json").write_text("{}")
    begin = BEGIN.format(python=sys.executable, tokens=str(worker.place / "tokens.json"))
    program(worker.place / "bin" / "spire-agent", begin + SPIRE)
    program(worker.place / "bin" / "fetch-svid", recipe.scripts["fetch-svid"])
    worker.environment = {"PATH": f"{worker.place / 'bin'}:/usr/bin:/bin"}
    worker.write(worker.document() | recipe.document | {"targets": {"alice": {}}})

    done = worker.once(status=3)

    assert "ended with exit status" in done.stderr
    assert not (worker.directory("alice") / "token").exists()
