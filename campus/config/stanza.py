"""The base of every stanza of config.yaml, and the types that settings share."""

from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

Key = tuple[str, ...]
DEFAULT = "default"  # the source of a setting that nobody has set
AnyStanza = TypeVar("AnyStanza", bound="Stanza")


class ConfigIssue(NamedTuple):
    """Settings that are valid one by one but contradict each other. The first key is the one to change.

    Keys are relative to the stanza; a key of a stanza in it is dotted: `consumer.fetch_max_wait_ms`.
    """

    keys: tuple[str, ...]
    message: str


class Stanza(BaseModel):
    """A map of settings in config.yaml. Nothing is converted or ignored, and it cannot change later.

    Every setting has a default. Its type is bool, int, float, str, SecretStr, LocalPath, a Literal of texts,
    one of these or None, a dict of these by name, or a stanza.
    """

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_default=True,
        hide_input_in_errors=True,  # pydantic's own message must not show a secret
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_empty(cls, given: Any) -> Any:
        return {} if given is None else given

    # Not pydantic's model validators: those stop at the first fault, and do not run beside another one.
    def issues(self) -> Iterator[ConfigIssue]:
        """The contradictions between settings of this stanza, which are valid one by one."""
        return iter(())

    def with_changes(self: AnyStanza, **settings: Any) -> AnyStanza:
        """A copy with other settings, validated (`model_copy` does not). Raises ValidationError."""
        return type(self)(**{**dict(self), **settings})


def setting(default: Any, description: str, **limits: Any) -> Any:
    """A field of a stanza. The description is its comment in config.yaml; `limits` go to pydantic's Field."""
    return Field(default, description=description, **limits)


def not_allowed(stanza: Stanza, key: str, relation: str, limit: str, why: str = "") -> ConfigIssue:
    """The issue that the setting `key` must be in this relation to the setting `limit`, and is not."""
    value, limit_value = attrgetter(key, limit)(stanza)
    allowed = f"{relation} {limit}, which is {limit_value:.15g}"
    return ConfigIssue((key, limit), f"{value:.15g} is not allowed: {allowed}{why}")


def _from_folder(path: Any, info: ValidationInfo) -> Any:
    """A text as a path. While a file is loaded, relative paths start at that file's folder."""
    try:
        path = Path(path).expanduser() if path and isinstance(path, str) else path
    except RuntimeError:  # "~nobody/x": no such user, so it stays a text, which is refused
        return path
    return info.context["folder"] / path if info.context and isinstance(path, Path) else path


LocalPath = Annotated[Path, BeforeValidator(_from_folder)]
Timeout = Annotated[float, Field(ge=0.1, le=3600)]
Milliseconds = Annotated[int, Field(ge=1, le=3_600_000)]
Text = Annotated[str, Field(min_length=1, max_length=256)]


def leaves(tree: Mapping[str, Any], at: Key = ()) -> Iterator[tuple[Key, Any]]:
    """The values in a tree of maps with their keys; an empty map is a value."""
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*at, name))
        else:
            yield (*at, name), value
