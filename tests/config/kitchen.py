"""A role of the tests, with every type of setting."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from campus.config.settings import RoleSettings
from campus.config.stanza import LocalPath

OPENING_STOCK = {"pizza": 100, "salad": 50}


class KitchenSettings(RoleSettings):
    port: int = Field(8000, ge=0, le=65535)
    ack: Literal["broker", "none"] = "broker"
    pause_s: float = Field(0.0, ge=0, le=60)
    cooks: int | None = Field(None, ge=1, le=9)
    waiting_max: int = Field(100, ge=1)
    rest_s: float = Field(0.0, ge=0)
    group: str = "kitchen"
    stock: dict[str, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(default_factory=lambda: OPENING_STOCK)
    token: SecretStr | None = Field(None, min_length=1)
    menu: LocalPath = Path("menu.txt")


class InventorySettings(RoleSettings):
    processing_delay_s: float = Field(0.0, ge=0, le=60)


ROLES: dict[str, type[RoleSettings]] = {"kitchen": KitchenSettings, "inventory": InventorySettings}
