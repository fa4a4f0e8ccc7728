"""What a data folder may be, and that one process at a time has it."""

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from campus.addresses import Address
from campus.broker import disk
from campus.broker.data import Claim, Data, DataDamaged, DataOfAnother
from campus.broker.disk import DiskFull, NotWritable, make_folder, writing

HERE = Address("127.0.0.1", 9092)
META = "#\nnode.id=1\ndirectory.id=x\nversion=1\ncluster.id=one\n"

HOLDER = """
import sys
from pathlib import Path
from campus.broker.data import Claim, Data
from campus.addresses import Address
claim = Claim(Data(Path(sys.argv[1])))
print(claim.take(Address("127.0.0.1", 9093)), flush=True)
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
def data(tmp_path: Path) -> Data:
    """A formatted data folder."""
    data = Data(tmp_path)
    data.log_dir.mkdir()
    (data.log_dir / "meta.properties").write_text(META)
    data.put_stamp(data.log_dir, "one")
    return data


@pytest.fixture
def another(data: Data) -> Iterator["subprocess.Popen[str]"]:
    """Another process, which has the claim."""
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
    assert not Data(tmp_path).is_formatted()
    assert not Data(tmp_path).ended_badly()


def test_what_was_formatted_here_is_ours(data: Data) -> None:
    assert data.is_formatted()


@pytest.mark.parametrize("meta", ["", "garbage", "node.id=7\ncluster.id=one\n"])
def test_unreadable_meta_properties_are_damage(data: Data, meta: str) -> None:
    (data.log_dir / "meta.properties").write_text(meta)
    with pytest.raises(DataDamaged, match=r"/kafka is damaged \(meta\.properties does not name the node\)"):
        data.is_formatted()


def test_missing_meta_properties_are_damage(data: Data) -> None:
    (data.log_dir / "meta.properties").unlink()
    with pytest.raises(DataDamaged, match=r"\(meta\.properties: No such file or directory\)"):
        data.is_formatted()


def test_a_stamp_that_cannot_be_read_is_damage(data: Data) -> None:
    data.stamp.write_text("{")
    with pytest.raises(DataDamaged, match=r"campuskafka\.json cannot be read"):
        data.is_formatted()


def test_the_data_of_another_program_is_left_alone(data: Data) -> None:
    data.stamp.unlink()
    with pytest.raises(DataOfAnother, match=r"is not of this program, and is left alone"):
        data.is_formatted()


def test_the_data_of_another_cluster_is_left_alone(data: Data) -> None:
    (data.log_dir / "meta.properties").write_text(META.replace("=one", "=two"))
    with pytest.raises(DataOfAnother, match=r"is of another cluster, two,"):
        data.is_formatted()


@pytest.mark.parametrize(("version", "fits"), [("4.2.0", True), ("4.3.2", False), ("10.0.0", False)])
def test_the_data_of_a_newer_kafka_is_left_alone(data: Data, version: str, fits: bool) -> None:
    data.stamp.write_text(json.dumps({"kafka": version, "cluster_id": "one"}))
    if fits:
        assert data.is_formatted()
    else:
        with pytest.raises(DataOfAnother, match=rf"of Kafka {version}, newer than this"):
            data.is_formatted()


def test_a_kafka_that_was_not_stopped_in_order_ended_badly(data: Data) -> None:
    assert data.ended_badly()
    (data.log_dir / ".kafka_cleanshutdown").touch()
    assert not data.ended_badly()


def test_a_kafka_on_the_data_is_seen_by_its_own_lock(data: Data) -> None:
    lock = data.log_dir / ".lock"
    assert not data.has_a_kafka()
    with subprocess.Popen(
        [sys.executable, "-c", KAFKA_LOCK, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline()
        assert data.has_a_kafka()
    assert not data.has_a_kafka()


def test_one_process_has_the_claim_and_says_who_it_is(data: Data, another: "subprocess.Popen[str]") -> None:
    claim = Claim(data)
    assert not claim.take(HERE)
    owner = claim.owner()
    assert owner is not None and (owner.process, owner.address.port) == (another.pid, 9093)


def test_the_claim_of_a_killed_process_is_free(data: Data, another: "subprocess.Popen[str]") -> None:
    another.kill()
    another.wait()
    claim = Claim(data)
    assert claim.take(HERE) and claim.take(HERE)


def test_a_claim_within_the_process_is_one_too(data: Data) -> None:
    first, second = Claim(data), Claim(data)
    assert first.take(HERE) and not second.take(HERE)
    first.release()
    first.release()
    assert second.owner() is None
    assert second.take(HERE)


def test_a_note_that_is_half_written_names_nobody(data: Data) -> None:
    (data.root / "owner.json").write_text('{"process": 1')
    assert Claim(data).owner() is None


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotWritable) as refused:
        Data(tmp_path / "file" / "data").make()
    assert str(refused.value) == (
        f"the folder {tmp_path}/file/data cannot be written (Not a directory). Give this user the right to, "
        "or choose another folder with broker.data_dir"
    )


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EACCES, NotWritable),
        (errno.EROFS, NotWritable),
    ],
)
def test_what_the_system_refuses_is_told_as_a_fault_of_the_folder(
    tmp_path: Path, number: int, told: type[Exception]
) -> None:
    with pytest.raises(told, match=r"broker\.data_dir"), writing(tmp_path, "broker.data_dir"):
        raise OSError(number, "refused")


def test_a_disk_counts_as_full_before_kafka_dies_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(tmp_path / "a" / "b", "broker.data_dir")
    assert not disk.is_full(tmp_path)
    monkeypatch.setattr(disk, "FREE_BYTES_MIN", 1 << 62)
    assert disk.is_full(tmp_path)
