"""The token for restocking: from the config, or generated once and kept in a file for its owner only.

All processes that start on one folder at the same time get the same token: the complete file appears under
its name at once, and only for the first of them. The token is never logged.
"""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

from campus.errors import CampusError

FILE = "token"
TOKEN_BYTES = 24
TOKEN = re.compile(r"[!-~]{16,256}")
NEXT_STEP = "Set roles.producer.token, or delete the file for a new one"


class NoToken(CampusError):
    """Exits like a wrong config: a retry would not help."""

    exit_code = 2

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        super().__init__(f"the token for restocking cannot be kept in {path} ({reason}). {NEXT_STEP}")


def kept_token(folder: Path) -> SecretStr:
    """The token in the folder, generated if there is none. Raises NoToken if it is unusable."""
    path = folder / FILE
    try:
        with suppress(FileNotFoundError):
            return _read(path)
        _generate(path)
        return _read(path)
    except OSError as error:
        raise NoToken(path, error.strerror or str(error)) from error


def _read(path: Path) -> SecretStr:
    with path.open("rb") as file:
        text = file.read(1024).decode("latin-1").strip()
    try:
        return checked_token(SecretStr(text))
    except ValueError as error:
        raise NoToken(path, f"it is not a token: {error}") from None


def checked_token(token: SecretStr) -> SecretStr:
    """The token itself. Raises ValueError, with what is allowed, if it cannot be one."""
    if not TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError("16 to 256 visible ASCII characters")
    return token


def _generate(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        draft.touch(0o600, exist_ok=False)
        draft.write_text(secrets.token_urlsafe(TOKEN_BYTES) + "\n", "ascii")
        # Unlike a rename, a link never replaces the file of a process that was faster.
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink(missing_ok=True)
