"""The stand-in as a plugin, which Terraform starts instead of the real google provider."""

from __future__ import annotations

from tests.terraform.provider.server import serve
from tests.terraform.provider.servicer import Servicer

serve(Servicer())
