"""Which jars are used: exactly the listed ones, complete and unaltered."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from campus.broker import jars
from campus.broker.disk import DiskFull, NotWritable
from campus.broker.jars import (
    KAFKA,
    KAFKA_VERSION,
    LISTED,
    TOOLS,
    Jar,
    JarMismatch,
    JarMissing,
    JarUnreachable,
    class_path,
)
from campus.config.settings import BrokerConfig

TRUNCATED = b"half of a j"
CHUNKS_MAX = 1000


def a_jar(name: str, content: bytes) -> Jar:
    return Jar("org.example", name, "1.0", hashlib.sha256(content).hexdigest())


class Repository:
    """Replaces jgo's MavenContext: delivers `contents` by artifact; an exception there is raised instead."""

    def __init__(self, **contents: "bytes | Exception | list[bytes | Exception]") -> None:
        self.contents = contents
        self.requested: list[str] = []
        self.trickle: dict[str, Callable[[Callable[[int], None]], None]] = {}

    def __call__(self, *, resolver: Any, repo_cache: Path, timeout: int) -> Any:
        return Artifact(self, repo_cache, resolver)


class Artifact:
    def __init__(self, repository: Repository, repo_cache: Path, resolver: Any) -> None:
        self._repository, self._repo_cache, self._resolver = repository, repo_cache, resolver

    def project(self, _group: str, artifact: str) -> "Artifact":
        self._artifact = artifact
        return self

    def at_version(self, _version: str) -> "Artifact":
        return self

    def artifact(self) -> "Artifact":
        return self

    def resolve(self) -> Path:
        self._repository.requested.append(self._artifact)
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
    """Two jars are listed, and this repository has them."""
    listed = (a_jar("one", b"1"), a_jar("two", b"2"))
    monkeypatch.setattr(jars, "KAFKA", listed)
    monkeypatch.setattr(jars, "PAUSES_S", (0.0, 0.0))
    repository = Repository(one=b"1", two=b"2")
    monkeypatch.setattr("jgo.maven.MavenContext", repository)
    return repository


@pytest.fixture
def cache(tmp_path: Path) -> BrokerConfig:
    return BrokerConfig(cache_dir=tmp_path)


def contents_of(config: BrokerConfig, stop: Event | None = None) -> list[bytes]:
    return [path.read_bytes() for path in class_path(config, log=lambda _: None, stop=stop or Event())]


def test_the_list_is_of_one_kafka_version_with_its_tools_apart() -> None:
    assert KAFKA_VERSION == "4.3.1"
    assert {jar.version for jar in LISTED if jar.group == "org.apache.kafka"} == {KAFKA_VERSION}
    assert TOOLS not in KAFKA and len(KAFKA) == len(LISTED) - 1
    assert len({jar.file_name for jar in LISTED}) == len(LISTED)
    assert str(TOOLS) == "org.apache.kafka:kafka-tools:4.3.1"


def test_the_listed_jars_are_downloaded_once(repository: Repository, cache: BrokerConfig) -> None:
    logged: list[str] = []
    for _ in range(2):
        class_path(cache, log=logged.append, stop=Event())
    assert contents_of(cache) == [b"1", b"2"]
    assert sorted(repository.requested) == ["one", "two"]
    assert logged == [f"downloading Apache Kafka 4.3.1 (2 jars, once) into {cache.cache_dir}/jars"]


def test_after_an_interruption_only_the_missing_jars_are_downloaded(
    repository: Repository, cache: BrokerConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "jars"
    (folder / "fetching" / "two-1.0.jar").mkdir(parents=True)
    (folder / "fetching" / "two-1.0.jar" / "downloaded").write_bytes(TRUNCATED)
    (folder / "one-1.0.jar").write_bytes(b"1")
    assert contents_of(cache) == [b"1", b"2"]
    assert repository.requested == ["two"]
    assert not (folder / "fetching").exists()


def test_an_altered_jar_in_the_cache_is_downloaded_again(
    repository: Repository, cache: BrokerConfig, tmp_path: Path
) -> None:
    contents_of(cache)
    (tmp_path / "jars" / "one-1.0.jar").write_bytes(TRUNCATED)
    assert contents_of(cache) == [b"1", b"2"]
    assert repository.requested.count("one") == 2


def test_a_truncated_download_is_repeated(repository: Repository, cache: BrokerConfig) -> None:
    repository.contents["two"] = [TRUNCATED, OSError("reset"), b"2"]
    assert contents_of(cache) == [b"1", b"2"]


def test_a_mismatching_jar_is_reported_and_never_enters_the_cache(
    repository: Repository, cache: BrokerConfig, tmp_path: Path
) -> None:
    repository.contents["two"] = b"something else"
    with pytest.raises(
        JarMismatch, match=r"org\.example:two:1\.0 from the repository is not the listed jar"
    ) as mismatch:
        contents_of(cache)
    assert mismatch.value.exit_code == 3
    assert not (tmp_path / "jars" / "two-1.0.jar").exists()


def test_without_a_network_the_error_contains_the_network_error(
    repository: Repository, cache: BrokerConfig
) -> None:
    wrapped = OSError("HTTPSConnectionPool: many details")
    wrapped.__cause__ = OSError("Name or service not known")
    repository.contents["two"] = wrapped
    with pytest.raises(JarUnreachable, match=r"two:1\.0 cannot be downloaded \(Name or service not known\)"):
        contents_of(cache)


def test_a_jar_that_the_repository_does_not_have_is_reported(
    repository: Repository, cache: BrokerConfig
) -> None:
    repository.contents["one"] = RuntimeError("Artifact not found")
    with pytest.raises(JarUnreachable, match=r"one:1\.0 cannot be downloaded"):
        contents_of(cache)


def test_a_full_disk_is_reported_as_such(repository: Repository, cache: BrokerConfig, tmp_path: Path) -> None:
    repository.contents["two"] = OSError(28, "No space left on device")
    with pytest.raises(DiskFull, match=r"the disk of .*jars is full .* broker\.cache_dir"):
        contents_of(cache)


def test_a_cache_without_write_access_is_reported_as_such(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotWritable, match=r"cannot be written \(Not a directory\)"):
        contents_of(BrokerConfig(cache_dir=tmp_path / "file"))


def test_stop_cancels_a_running_download(repository: Repository, cache: BrokerConfig, tmp_path: Path) -> None:
    stop, cancelled = Event(), Event()

    def trickle(got: Callable[[int], None]) -> None:
        stop.set()
        try:
            for _ in range(CHUNKS_MAX):
                got(1)
                cancelled.wait(0.01)
        except BaseException:
            cancelled.set()
            raise

    repository.trickle["two"] = trickle
    class_path(cache, log=lambda _: None, stop=stop)
    assert cancelled.wait(10)
    assert not (tmp_path / "jars" / "two-1.0.jar").exists()


def test_configured_jars_are_used_and_nothing_is_downloaded(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "one-1.0.jar").write_bytes(b"1")
    (tmp_path / "two-1.0.jar").write_bytes(b"2")
    assert contents_of(BrokerConfig(jars=tmp_path)) == [b"1", b"2"]
    assert repository.requested == []


def test_a_jar_missing_from_the_configured_folder_is_reported(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(JarMissing, match=r"has no one-1\.0\.jar and 1 more"):
        contents_of(BrokerConfig(jars=tmp_path))


def test_a_mismatching_jar_in_the_configured_folder_is_reported_and_not_touched(
    repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "one-1.0.jar").write_bytes(b"1")
    (tmp_path / "two-1.0.jar").write_bytes(b"another")
    with pytest.raises(JarMismatch, match=r"org\.example:two:1\.0"):
        contents_of(BrokerConfig(jars=tmp_path))
    assert (tmp_path / "two-1.0.jar").read_bytes() == b"another"
