"""Which data folders are accepted, and the lock that one process at a time holds on them."""

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from campus.addresses import Address
from campus.broker import disk
from campus.broker.data import DataDamaged, DataFolder, DataFolderLock, ForeignData
from campus.broker.disk import DiskFull, NotWritable, disk_errors

HERE = Address("127.0.0.1", 9092)
META = "#\nnode.id=1\ndirectory.id=x\nversion=1\ncluster.id=one\n"

HOLDER = """
import sys
from pathlib import Path
from campus.broker.data import DataFolder, DataFolderLock
from campus.addresses import Address
lock = DataFolderLock(Path(sys.argv[1]))
print(lock.acquire(Address("127.0.0.1", 9093)), flush=True)
sys.stdin.read()
"""

KAFKA_LOCK = """
import fcntl, sys
with open(sys.argv[1], "wb") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def data(tmp_path: Path) -> DataFolder:
    """A formatted data folder."""
    data = DataFolder(tmp_path)
    data.log_dir.mkdir()
    (data.log_dir / "meta.properties").write_text(META)
    data.write_stamp(data.log_dir, "one")
    return data


@pytest.fixture
def another(data: DataFolder) -> Iterator["subprocess.Popen[str]"]:
    """Another process, which holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_an_empty_folder_is_not_formatted(tmp_path: Path) -> None:
    assert not DataFolder(tmp_path).is_formatted()
    assert not DataFolder(tmp_path).was_killed()


def test_a_folder_that_this_program_formatted_is_accepted(data: DataFolder) -> None:
    assert data.is_formatted()


@pytest.mark.parametrize("meta", ["", "garbage", "node.id=7\ncluster.id=one\n"])
def test_invalid_meta_properties_are_reported_as_damage(data: DataFolder, meta: str) -> None:
    (data.log_dir / "meta.properties").write_text(meta)
    with pytest.raises(DataDamaged, match=r"/kafka is damaged \(meta\.properties does not name the node\)"):
        data.is_formatted()


def test_missing_meta_properties_are_reported_as_damage(data: DataFolder) -> None:
    (data.log_dir / "meta.properties").unlink()
    with pytest.raises(DataDamaged, match=r"\(meta\.properties: No such file or directory\)"):
        data.is_formatted()


def test_an_unreadable_stamp_is_reported_as_damage(data: DataFolder) -> None:
    data.stamp.write_text("{")
    with pytest.raises(DataDamaged, match=r"campuskafka\.json cannot be read"):
        data.is_formatted()


def test_the_data_of_another_program_is_not_touched(data: DataFolder) -> None:
    data.stamp.unlink()
    with pytest.raises(ForeignData, match=r"was not made by this program, so it is not touched"):
        data.is_formatted()


def test_the_data_of_another_cluster_is_not_touched(data: DataFolder) -> None:
    (data.log_dir / "meta.properties").write_text(META.replace("=one", "=two"))
    with pytest.raises(ForeignData, match=r"belongs to another cluster, two,"):
        data.is_formatted()


@pytest.mark.parametrize(("version", "fits"), [("4.2.0", True), ("4.3.2", False), ("10.0.0", False)])
def test_the_data_of_a_newer_kafka_is_not_touched(data: DataFolder, version: str, fits: bool) -> None:
    data.stamp.write_text(json.dumps({"kafka": version, "cluster_id": "one"}))
    if fits:
        assert data.is_formatted()
    else:
        with pytest.raises(ForeignData, match=rf"of Kafka {version}, newer than this"):
            data.is_formatted()


def test_without_kafkas_mark_of_a_clean_shutdown_it_was_killed(data: DataFolder) -> None:
    assert data.was_killed()
    (data.log_dir / ".kafka_cleanshutdown").touch()
    assert not data.was_killed()


def test_kafkas_own_lock_shows_that_a_kafka_uses_the_data(data: DataFolder) -> None:
    lock = data.log_dir / ".lock"
    assert not data.is_in_use()
    with subprocess.Popen(
        [sys.executable, "-c", KAFKA_LOCK, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline()
        assert data.is_in_use()
    assert not data.is_in_use()


def test_one_process_holds_the_lock_and_others_can_read_which(
    data: DataFolder, another: "subprocess.Popen[str]"
) -> None:
    lock = DataFolderLock(data.root)
    assert not lock.acquire(HERE)
    holder = lock.holder()
    assert holder is not None and (holder.process, holder.address) == (another.pid, "127.0.0.1:9093")


def test_the_lock_of_a_killed_process_is_released(data: DataFolder, another: "subprocess.Popen[str]") -> None:
    another.kill()
    another.wait()
    lock = DataFolderLock(data.root)
    assert lock.acquire(HERE) and lock.acquire(HERE)


def test_a_lock_also_excludes_others_in_the_same_process(data: DataFolder) -> None:
    first, second = DataFolderLock(data.root), DataFolderLock(data.root)
    assert first.acquire(HERE) and not second.acquire(HERE)
    first.release()
    first.release()
    assert second.holder() is None
    assert second.acquire(HERE)


def test_a_partly_written_holder_file_names_no_holder(data: DataFolder) -> None:
    (data.root / "owner.json").write_text('{"process": 1')
    assert DataFolderLock(data.root).holder() is None


def test_a_folder_that_cannot_be_created_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotWritable) as refused:
        DataFolderLock(tmp_path / "file" / "data").acquire(HERE)
    assert str(refused.value) == (
        f"the folder {tmp_path}/file/data cannot be written (Not a directory). Give this user write access, "
        "or choose another folder with broker.data_dir"
    )


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EACCES, NotWritable),
        (errno.EROFS, NotWritable),
    ],
)
def test_an_os_error_is_reported_with_the_folder_and_its_setting(
    tmp_path: Path, number: int, expected: type[Exception]
) -> None:
    with pytest.raises(expected, match=r"broker\.data_dir"), disk_errors(tmp_path, "broker.data_dir"):
        raise OSError(number, "refused")


def test_a_disk_counts_as_full_while_there_is_still_a_little_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not disk.is_full(tmp_path)
    monkeypatch.setattr(disk, "FREE_BYTES_MIN", 1 << 62)
    assert disk.is_full(tmp_path)
