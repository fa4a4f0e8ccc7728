"""The token for restocking: one per folder, readable by its owner only."""

import stat
import threading

import pytest
from pydantic import SecretStr, ValidationError

from campus.api import token
from campus.api.token import FILE, NoToken, kept_token
from roles.producer import Settings


def files_in(folder):
    return [path.name for path in folder.iterdir()]


def test_a_token_is_generated_once_and_kept(tmp_path):
    first = kept_token(tmp_path / "data")
    assert len(first.get_secret_value()) >= 32
    assert kept_token(tmp_path / "data") == first
    assert files_in(tmp_path / "data") == [FILE]


def test_only_its_owner_can_read_it(tmp_path):
    kept_token(tmp_path)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_two_folders_have_two_tokens(tmp_path):
    assert kept_token(tmp_path / "a") != kept_token(tmp_path / "b")


def test_processes_that_start_at_the_same_time_get_the_same_token(tmp_path):
    together = threading.Barrier(16)
    found = []

    def start():
        together.wait()
        found.append(kept_token(tmp_path).get_secret_value())

    threads = [threading.Thread(target=start) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1
    assert files_in(tmp_path) == [FILE]


def test_a_slower_process_uses_the_token_of_the_faster_one(tmp_path, monkeypatch):
    make = token._generate

    def somebody_is_faster(path):
        path.write_text("somebody-elses-token\n")
        make(path)

    monkeypatch.setattr(token, "_generate", somebody_is_faster)
    assert kept_token(tmp_path).get_secret_value() == "somebody-elses-token"
    assert files_in(tmp_path) == [FILE]


def test_a_token_written_by_hand_is_read_without_its_line_end(tmp_path):
    (tmp_path / FILE).write_text("a-token-of-my-own-choice\r\n")
    assert kept_token(tmp_path).get_secret_value() == "a-token-of-my-own-choice"


@pytest.mark.parametrize(
    "text", ["", "short", "with a space in the middle", "x" * 257, "ünïcödé-is-not-ascii"]
)
def test_an_invalid_token_is_an_error_that_does_not_repeat_it(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(NoToken, match=r"roles\.producer\.token") as caught:
        kept_token(tmp_path)
    assert caught.value.exit_code == 2
    assert not text or text not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_an_error_with_the_next_step(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NoToken, match="cannot be kept in"):
        kept_token(tmp_path / "file" / "data")


def test_the_repr_of_a_token_does_not_show_it(tmp_path):
    assert kept_token(tmp_path).get_secret_value() not in repr(kept_token(tmp_path))


@pytest.mark.parametrize("text", ["short", "with a space in the middle"])
def test_a_token_in_the_config_is_validated_alike(text):
    assert Settings(token=SecretStr("a-token-that-is-long-enough")).token is not None
    with pytest.raises(ValidationError, match="16 to 256 visible ASCII characters") as refused:
        Settings(token=SecretStr(text))
    assert [error["loc"] for error in refused.value.errors()] == [("token",)]
    assert text not in str(refused.value)
