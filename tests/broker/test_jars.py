"""Which jars are taken: exactly the listed ones, whole and unaltered."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from campus.broker import class_path as class_path_module
from campus.broker import fetch
from campus.broker.class_path import class_path
from campus.broker.disk import DiskFull, NotWritable
from campus.broker.fetch import JarUnreachable
from campus.broker.jars import KAFKA, KAFKA_VERSION, LISTED, TOOLS, Jar, JarMissing, JarWrong
from campus.config.settings import BrokerConfig

LEFT_OVER = b"half of a j"
PATIENCE = 1000


def a_jar(name: str, content: bytes) -> Jar:
    return Jar("org.example", name, "1.0", hashlib.sha256(content).hexdigest())


class Repository:
    """Stands for jgo's context: hands out `contents`, or raises what is there instead."""

    def __init__(self, **contents: "bytes | Exception | list[bytes | Exception]") -> None:
        self.contents = contents
        self.asked: list[str] = []
        self.trickle: dict[str, Callable[[Callable[[int], None]], None]] = {}

    def __call__(self, *, resolver: Any, repo_cache: Path, timeout: int) -> Any:
        return Asked(self, repo_cache, resolver)


class Asked:
    def __init__(self, repository: Repository, repo_cache: Path, resolver: Any) -> None:
        self._repository, self._repo_cache, self._resolver = repository, repo_cache, resolver

    def project(self, _group: str, artifact: str) -> "Asked":
        self._artifact = artifact
        return self

    def at_version(self, _version: str) -> "Asked":
        return self

    def artifact(self) -> "Asked":
        return self

    def resolve(self) -> Path:
        self._repository.asked.append(self._artifact)
        content = self._repository.contents[self._artifact]
        if isinstance(content, list):
            content = content.pop(0)
        if isinstance(content, Exception):
            raise content
        self._repo_cache.mkdir(parents=True)
        path = self._repo_cache / "downloaded"
        with self._resolver.progress_callback("name", len(content)) as got, path.open("wb") as file:
            got(len(content))
            self._repository.trickle.get(self._artifact, lambda _got: None)(got)
            file.write(content)
        return path


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Two jars are listed, and this has them."""
    listed = (a_jar("one", b"1"), a_jar("two", b"2"))
    monkeypatch.setattr(class_path_module, "KAFKA", listed)
    monkeypatch.setattr(fetch, "PAUSES_S", (0.0, 0.0))
    repository = Repository(one=b"1", two=b"2")
    monkeypatch.setattr(fetch, "MavenContext", repository)
    return repository


@pytest.fixture
def cache(tmp_path: Path) -> BrokerConfig:
    return BrokerConfig(cache_dir=tmp_path)


def taken(config: BrokerConfig, stop: Event | None = None) -> list[bytes]:
    return [path.read_bytes() for path in class_path(config, log=lambda _: None, stop=stop or Event())]


def test_the_list_is_one_kafka_server_with_its_tools_apart() -> None:
    assert KAFKA_VERSION == "4.3.1"
    assert {jar.version for jar in LISTED if jar.group == "org.apache.kafka"} == {KAFKA_VERSION}
    assert TOOLS not in KAFKA and len(KAFKA) == len(LISTED) - 1
    assert len({jar.file_name for jar in LISTED}) == len(LISTED)
    assert str(TOOLS) == "org.apache.kafka:kafka-tools:4.3.1"


def test_what_is_listed_is_fetched_once(repository: Repository, cache: BrokerConfig) -> None:
    said: list[str] = []
    for _ in range(2):
        class_path(cache, log=said.append, stop=Event())
    assert taken(cache) == [b"1", b"2"]
    assert sorted(repository.asked) == ["one", "two"]
    assert said == [f"fetching Apache Kafka 4.3.1 (2 jars, once) into {cache.cache_dir}/jars"]


def test_only_what_is_missing_is_fetched_after_an_interruption(
    repository: Repository, cache: BrokerConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "jars"
    (folder / "fetching" / "two-1.0.jar").mkdir(parents=True)
    (folder / "fetching" / "two-1.0.jar" / "downloaded").write_bytes(LEFT_OVER)
    (folder / "one-1.0.jar").write_bytes(b"1")
    assert taken(cache) == [b"1", b"2"]
    assert repository.asked == ["two"]
    assert not (folder / "fetching").exists()


def test_a_jar_that_was_altered_in_the_cache_is_fetched_again(
    repository: Repository, cache: BrokerConfig, tmp_path: Path
) -> None:
    taken(cache)
    (tmp_path / "jars" / "one-1.0.jar").write_bytes(LEFT_OVER)
    assert taken(cache) == [b"1", b"2"]
    assert repository.asked.count("one") == 2


def test_a_download_that_was_cut_short_is_done_again(repository: Repository, cache: BrokerConfig) -> None:
    repository.contents["two"] = [LEFT_OVER, OSError("reset"), b"2"]
    assert taken(cache) == [b"1", b"2"]


def test_a_wrong_jar_is_named_and_never_takes_its_place(
    repository: Repository, cache: BrokerConfig, tmp_path: Path
) -> None:
    repository.contents["two"] = b"something else"
    with pytest.raises(JarWrong, match=r"org\.example:two:1\.0 from the repository is not the jar") as wrong:
        taken(cache)
    assert wrong.value.exit_code == 3
    assert not (tmp_path / "jars" / "two-1.0.jar").exists()


def test_without_a_network_the_line_says_what_the_network_said(
    repository: Repository, cache: BrokerConfig
) -> None:
    wrapped = OSError("HTTPSConnectionPool: a long story")
    wrapped.__cause__ = OSError("Name or service not known")
    repository.contents["two"] = wrapped
    with pytest.raises(JarUnreachable, match=r"two:1\.0 cannot be fetched \(Name or service not known\)"):
        taken(cache)


def test_a_jar_that_the_repository_does_not_have_is_named(
    repository: Repository, cache: BrokerConfig
) -> None:
    repository.contents["one"] = RuntimeError("Artifact not found")
    with pytest.raises(JarUnreachable, match=r"one:1\.0 cannot be fetched"):
        taken(cache)


def test_a_full_disk_is_told_as_one(repository: Repository, cache: BrokerConfig, tmp_path: Path) -> None:
    repository.contents["two"] = OSError(28, "No space left on device")
    with pytest.raises(DiskFull, match=r"the disk of .*jars is full .* broker\.cache_dir"):
        taken(cache)


def test_a_cache_that_cannot_be_written_is_told_as_one(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotWritable, match=r"cannot be written \(Not a directory\)"):
        taken(BrokerConfig(cache_dir=tmp_path / "file"))


def test_stop_calls_off_what_is_being_fetched(
    repository: Repository, cache: BrokerConfig, tmp_path: Path
) -> None:
    stop, called_off = Event(), Event()

    def trickle(got: Callable[[int], None]) -> None:
        stop.set()
        try:
            for _ in range(PATIENCE):
                got(1)
                called_off.wait(0.01)
        except BaseException:
            called_off.set()
            raise

    repository.trickle["two"] = trickle
    class_path(cache, log=lambda _: None, stop=stop)
    assert called_off.wait(10)
    assert not (tmp_path / "jars" / "two-1.0.jar").exists()


def test_ones_own_jars_are_used_and_nothing_is_fetched(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "one-1.0.jar").write_bytes(b"1")
    (tmp_path / "two-1.0.jar").write_bytes(b"2")
    assert taken(BrokerConfig(jars=tmp_path)) == [b"1", b"2"]
    assert repository.asked == []


def test_a_jar_that_ones_own_folder_lacks_is_named(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(JarMissing, match=r"lacks one-1\.0\.jar and 1 more"):
        taken(BrokerConfig(jars=tmp_path))


def test_a_wrong_jar_in_ones_own_folder_is_named_and_left_alone(
    repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "one-1.0.jar").write_bytes(b"1")
    (tmp_path / "two-1.0.jar").write_bytes(b"another")
    with pytest.raises(JarWrong, match=r"org\.example:two:1\.0"):
        taken(BrokerConfig(jars=tmp_path))
    assert (tmp_path / "two-1.0.jar").read_bytes() == b"another"
