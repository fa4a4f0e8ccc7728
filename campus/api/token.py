"""The token of those who may restock: as it is set, or made once and kept in a file that its owner can read.

However many processes start at the same time on one folder, they have one token: it appears in the file
whole, under its name, for the first of them alone. It is never logged.
"""

import os
import re
import secrets
from pathlib import Path

from pydantic import SecretStr

from campus.errors import CampusError

FILE = "token"
TOKEN_BYTES = 24
TOKEN = re.compile(r"[!-~]{16,256}")
NEXT_STEP = "Set roles.producer.token, or delete the file for a new one"


class NoToken(CampusError):
    """Its exit code is that of a wrong config: to try again cannot help."""

    exit_code = 2

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"the token for restocking cannot be kept in {path} ({why}). {NEXT_STEP}")


def kept_token(folder: Path) -> SecretStr:
    """The one in the folder, made now if there is none. Raises NoToken."""
    path = folder / FILE
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            _make(path)
            return _read(path)
    except OSError as error:
        raise NoToken(path, error.strerror or str(error)) from error


def _read(path: Path) -> SecretStr:
    with path.open("rb") as file:
        text = file.read(1024).decode("latin-1").strip()
    try:
        return checked_token(SecretStr(text))
    except ValueError as error:
        raise NoToken(path, f"what stands there is no token: {error}") from None


def checked_token(token: SecretStr) -> SecretStr:
    """The token itself. Raises ValueError, with what is allowed, if it cannot be one."""
    if not TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError("16 to 256 visible ASCII characters")
    return token


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ours = path.with_name(f"{FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        ours.touch(0o600, exist_ok=False)
        ours.write_text(secrets.token_urlsafe(TOKEN_BYTES) + "\n", "ascii")
        # Unlike a rename, a link leaves the file of whoever was first alone.
        os.link(ours, path)
    except FileExistsError:
        return
    finally:
        ours.unlink(missing_ok=True)
