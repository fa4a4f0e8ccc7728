"""The token of those who may restock: one for a folder, whoever comes first, and for its owner's eyes."""

import stat
import threading

import pytest
from pydantic import SecretStr, ValidationError

from campus.api import token
from campus.api.token import FILE, NoToken, kept_token
from roles.producer import Settings


def files_in(folder):
    return [path.name for path in folder.iterdir()]


def test_a_token_is_made_once_and_stays(tmp_path):
    first = kept_token(tmp_path / "data")
    assert len(first.get_secret_value()) >= 32
    assert kept_token(tmp_path / "data") == first
    assert files_in(tmp_path / "data") == [FILE]


def test_only_its_owner_can_read_it(tmp_path):
    kept_token(tmp_path)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_two_folders_have_two_tokens(tmp_path):
    assert kept_token(tmp_path / "a") != kept_token(tmp_path / "b")


def test_those_who_start_at_the_same_time_have_the_same_token(tmp_path):
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


def test_who_comes_second_between_looking_and_making_takes_the_first_ones(tmp_path, monkeypatch):
    make = token._make

    def somebody_is_faster(path):
        path.write_text("somebody-elses-token\n")
        make(path)

    monkeypatch.setattr(token, "_make", somebody_is_faster)
    assert kept_token(tmp_path).get_secret_value() == "somebody-elses-token"
    assert files_in(tmp_path) == [FILE]


def test_one_that_a_person_wrote_is_taken_without_its_line_end(tmp_path):
    (tmp_path / FILE).write_text("a-token-of-my-own-choice\r\n")
    assert kept_token(tmp_path).get_secret_value() == "a-token-of-my-own-choice"


@pytest.mark.parametrize(
    "text", ["", "short", "with a space in the middle", "x" * 257, "ünïcödé-is-not-ascii"]
)
def test_what_is_no_token_is_an_error_that_does_not_tell_it(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(NoToken, match=r"roles\.producer\.token") as caught:
        kept_token(tmp_path)
    assert caught.value.exit_code == 2
    assert not text or text not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_an_error_with_the_next_step(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NoToken, match="cannot be kept in"):
        kept_token(tmp_path / "file" / "data")


def test_a_token_is_never_shown(tmp_path):
    assert kept_token(tmp_path).get_secret_value() not in repr(kept_token(tmp_path))


@pytest.mark.parametrize("text", ["short", "with a space in the middle"])
def test_a_token_in_the_config_is_held_to_the_same_rule(text):
    assert Settings(token=SecretStr("a-token-that-is-long-enough")).token is not None
    with pytest.raises(ValidationError, match="16 to 256 visible ASCII characters") as refused:
        Settings(token=SecretStr(text))
    assert [error["loc"] for error in refused.value.errors()] == [("token",)]
    assert text not in str(refused.value)
