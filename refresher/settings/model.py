"""What all models of the configuration share (`refresher.config.models`, `refresher.config.supplier_models`)."""

from __future__ import annotations

from typing import Self, cast

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """What all models share: frozen, no unknown keys, no coercion, built when first used."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    @classmethod
    def none_given(cls) -> Self:
        """Give the defaults, always the same object: a default of pydantic's would be copied for each target."""
        found = _DEFAULTS.get(cls)
        if found is None:
            found = _DEFAULTS[cls] = cls.model_construct()
        return cast("Self", found)


_DEFAULTS: dict[type[Settings], Settings] = {}
