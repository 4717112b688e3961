"""The tools that run again for each call: those of the Cloud SDK, of third parties, and curl."""

from __future__ import annotations

import re
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.clients.client import ACCESS_TOKEN, Client
from tests.clients.cloud import OBJECT
from tests.clients.probes import Tool
from tests.clients.setup import Needs, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.clients.setup import Setup

    Line = Callable[[Setup, str], Sequence[str]]
    Setting = Callable[[Setup, Client], Mapping[str, str]]

_SDK = "install the Google Cloud CLI"
_QUIET = {
    "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
    "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
    "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
}
_SECRET = "not a secret"
_TERRAFORM = """
terraform {
  backend "gcs" {}
}

variable "who" {
  type = string
}

output "hello" {
  value = var.who
}
"""


def _media(setup: Setup, bucket: str) -> str:
    return f"{setup.cloud.plain.storage}/storage/v1/b/{bucket}/o/{OBJECT}?alt=media"


def _gcloud(setup: Setup, bucket: str) -> Sequence[str]:
    """Print a token with gcloud and use it at once, so that the token itself is never shown."""
    script = (
        'token=$(gcloud auth print-access-token) && curl -sS --fail-with-body -H "Authorization: Bearer $token" "$0"'
    )
    return ("sh", "-c", script, _media(setup, bucket))


def _gcloud_storage(_: Setup, bucket: str) -> Sequence[str]:
    return ("gcloud", "storage", "cat", f"gs://{bucket}/{OBJECT}")


def _bq(setup: Setup, _: str) -> Sequence[str]:
    question = "SELECT SESSION_USER() AS who"
    shape = ("--headless", "--quiet", "--format=csv")
    return ("bq", "--api", setup.cloud.plain.bigquery, *shape, "query", "--use_legacy_sql=false", question)


def _gsutil(setup: Setup, bucket: str) -> Sequence[str]:
    place = urlsplit(setup.cloud.secure.storage)
    trust = () if setup.cloud.ca_file is None else (f"Boto:ca_certificates_file={setup.cloud.ca_file}",)
    options = (
        f"Credentials:gs_json_host={place.hostname}",
        f"Credentials:gs_json_port={place.port or 443}",
        "Boto:num_retries=0",
        *trust,
    )
    return ("gsutil", "-q", *(word for option in options for word in ("-o", option)), "cat", f"gs://{bucket}/{OBJECT}")


def _curl(setup: Setup, bucket: str) -> Sequence[str]:
    script = 'curl -sS --fail-with-body -H "Authorization: Bearer $(cat "$REFRESHER_ACCESS_TOKEN_FILE")" "$0"'
    return ("sh", "-c", script, _media(setup, bucket))


def _curl_with_metadata(setup: Setup, bucket: str) -> Sequence[str]:
    place = "http://${GCE_METADATA_HOST:-metadata.google.internal}/computeMetadata/v1/instance/service-accounts/default/token"
    script = (
        f'answer=$(curl -sS --fail-with-body -H "Metadata-Flavor: Google" "{place}") && '
        'token=$(printf %s "$answer" | sed \'s/.*"access_token":"\\([^"]*\\)".*/\\1/\') && '
        'curl -sS --fail-with-body -H "Authorization: Bearer $token" "$0"'
    )
    return ("sh", "-c", script, _media(setup, bucket))


def _rclone(_: Setup, bucket: str) -> Sequence[str]:
    options = ("--config=", "--retries=1", "--low-level-retries=1")
    return ("rclone", "cat", *options, f":gcs:{bucket}/{OBJECT}")


def _restic(setup: Setup, bucket: str) -> Sequence[str]:
    """Read a file of a repository; create the repository when the bucket has none."""
    script = (
        'export RESTIC_REPOSITORY="gs:$0:/repository"; '
        "restic -q dump latest /hello || "
        '{ restic -q init && printf %s "$1" | restic -q backup --stdin --stdin-filename hello '
        "&& restic -q dump latest /hello; }"
    )
    return ("sh", "-c", script, bucket, setup.cloud.names.content_in(bucket))


def _terraform(setup: Setup, bucket: str) -> Sequence[str]:
    """Read an output of a state; create the state when the bucket has none."""
    script = (
        "found=$(terraform output -no-color -raw hello) && "
        'case "$found" in hello*) printf %s "$found";; '
        '*) terraform apply -auto-approve -input=false -no-color -var="who=$0" >/dev/null '
        "&& terraform output -no-color -raw hello;; esac"
    )
    return ("sh", "-c", script, setup.cloud.names.content_in(bucket))


def _terraform_init(bucket: str) -> Sequence[str]:
    return ("terraform", "init", "-reconfigure", "-input=false", "-no-color", f"-backend-config=bucket={bucket}")


def _no_setting(_: Setup, _client: Client) -> Mapping[str, str]:
    return {}


def _sdk_setting(setup: Setup, _: Client) -> Mapping[str, str]:
    return {
        **_QUIET,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{setup.cloud.plain.storage}/storage/v1/",
    }


def _by_name_setting(setup: Setup, _: Client) -> Mapping[str, str]:
    """Return the proxy variables for a tool that always uses Google's host names."""
    return {"HTTPS_PROXY": setup.proxy, "RESTIC_PASSWORD": _SECRET}


def _terraform_setting(setup: Setup, client: Client) -> Mapping[str, str]:
    place = setup.place / "homes" / client.name / "terraform"
    place.mkdir(parents=True, exist_ok=True)
    (place / "main.tf").write_text(_TERRAFORM)
    return {
        "GOOGLE_BACKEND_STORAGE_CUSTOM_ENDPOINT": f"{setup.cloud.plain.storage}/storage/v1/",
        "CHECKPOINT_DISABLE": "1",
        "TF_DATA_DIR": str(place / ".terraform"),
    }


def _start(client: Client, setup: Setup, variables: dict[str, str], *, line: Line, setting: Setting) -> Tool:
    more = setting(setup, client)
    place = setup.place / "homes" / client.name
    place.mkdir(parents=True, exist_ok=True)
    inner = place / "terraform"
    shape = _user if line is _bq else str.strip
    return Tool(
        lambda bucket: setup.wrap(client.name, line(setup, bucket)),
        variables | dict(more),
        inner if inner.is_dir() else place,
        shape=shape,
        first=(lambda bucket: setup.wrap(client.name, _terraform_init(bucket))) if line is _terraform else None,
    )


def _user(printed: str) -> str:
    """Return the user that BigQuery recognised, which is the last line."""
    return printed.strip().splitlines()[-1]


def _version(command: Sequence[str], pattern: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    found = re.search(pattern, done.stdout + done.stderr)
    assert found is not None, f"{command[0]} does not show its version"
    return found[1]


def _tool(
    name: str,
    title: str,
    line: Line,
    *,
    version: tuple[Sequence[str], str],
    remedy: str,
    language: str = "Tools",
    setting: Setting = _no_setting,
    needs: Needs = Needs(),  # noqa: B008 - frozen
    knows_buckets: bool = True,
    asks_metadata: bool = True,
) -> Client:
    return Client(
        name=name,
        title=title,
        language=language,
        version=partial(_version, *version),
        is_pinned=False,
        start=partial(_start, line=line, setting=setting),
        tool=version[0][0],
        remedy=remedy,
        needs=needs,
        is_tool=True,
        knows_buckets=knows_buckets,
        asks_metadata=asks_metadata,
    )


def _of_sdk(name: str, title: str, line: Line, component: str, **more: Any) -> Client:  # noqa: ANN401 - as of _tool
    version = (("gcloud", "version"), rf"(?m)^{component} (\S+)$")
    return _tool(name, title, line, version=version, remedy=_SDK, language="Cloud SDK", setting=_sdk_setting, **more)


TOOLS = (
    _of_sdk("gcloud", "gcloud", _gcloud, "Google Cloud SDK"),
    _of_sdk("gcloud-storage", "gcloud storage", _gcloud_storage, "Google Cloud SDK"),
    _of_sdk("bq", "bq", _bq, "bq", knows_buckets=False),
    _of_sdk("gsutil", "gsutil", _gsutil, "gsutil", needs=Needs(way=Way.SECURE, artifacts=("boto",))),
    _tool(
        "curl",
        "curl",
        _curl,
        version=(("curl", "--version"), r"curl (\S+)"),
        remedy="apt-get install curl",
        needs=Needs(artifacts=(ACCESS_TOKEN,)),
        asks_metadata=False,
    ),
    _tool(
        "rclone",
        "rclone",
        _rclone,
        version=(("rclone", "version"), r"rclone v(\S+)"),
        remedy="apt-get install rclone",
        setting=_by_name_setting,
        needs=Needs(way=Way.BY_NAME),
        asks_metadata=False,  # from 1.61 on, with env_auth
    ),
    _tool(
        "restic",
        "restic",
        _restic,
        version=(("restic", "version"), r"restic (\S+)"),
        remedy="apt-get install restic",
        setting=_by_name_setting,
        needs=Needs(way=Way.BY_NAME),
    ),
    _tool(
        "terraform",
        "Terraform, backend `gcs`",
        _terraform,
        version=(("terraform", "version"), r"Terraform v(\S+)"),
        remedy="see developer.hashicorp.com/terraform/install",
        setting=_terraform_setting,
    ),
)
METADATA_TOOLS = (
    _tool(
        "curl-metadata",
        "curl",
        _curl_with_metadata,
        version=(("curl", "--version"), r"curl (\S+)"),
        remedy="apt-get install curl",
    ),
)
"""Those that are run in another way with a metadata server."""
