"""The stand-in as a plugin: what Terraform starts instead of the real google provider."""

from __future__ import annotations

from tests.terraform.provider.servicer import Servicer
from tests.terraform.provider.serving import serve

serve(Servicer())
