import os

import pytest

from hushfleet.system.durable import write_durably, write_new


def test_the_file_is_written_for_this_user_alone(tmp_path):
    write_durably(tmp_path / "f", b"new")

    assert (tmp_path / "f").read_bytes() == b"new"
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_the_old_content_is_replaced(tmp_path):
    write_durably(tmp_path / "f", b"a longer old content")
    write_durably(tmp_path / "f", b"new")

    assert (tmp_path / "f").read_bytes() == b"new"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_on_the_way_leaves_the_old_file(tmp_path, monkeypatch, failing):
    write_durably(tmp_path / "f", b"old")

    def fail(*_: object):
        raise OSError("the disk is full")

    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(type(tmp_path), "replace", fail)
    with pytest.raises(OSError, match="disk is full"):
        write_durably(tmp_path / "f", b"new")

    assert (tmp_path / "f").read_bytes() == b"old"


def test_a_new_file_is_never_written_over_another(tmp_path):
    write_new(tmp_path / "f", b"first", mode=0o644)

    with pytest.raises(FileExistsError):
        write_new(tmp_path / "f", b"second")
    assert (tmp_path / "f").read_bytes() == b"first"


def test_a_new_file_is_synced_before_the_call_returns(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))

    write_new(tmp_path / "f", b"four")

    assert synced == [4]


def test_a_part_left_by_a_crash_is_in_nobodys_way(tmp_path):
    (tmp_path / "f.part").write_bytes(b"half of somethi")

    write_durably(tmp_path / "f", b"new")

    assert (tmp_path / "f").read_bytes() == b"new"


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_link_that_somebody_left_is_not_written_through(tmp_path, link):
    """Root writes in folders that belong to the service's user."""
    (tmp_path / "shadow").write_bytes(b"root's")
    getattr(tmp_path / "f.part", link)(tmp_path / "shadow")

    write_durably(tmp_path / "f", b"new")

    assert (tmp_path / "shadow").read_bytes() == b"root's"
    assert not (tmp_path / "f").is_symlink()
    assert (tmp_path / "f").read_bytes() == b"new"


def test_a_leftover_that_others_can_read_lends_nothing_its_mode(tmp_path):
    (tmp_path / "f.part").touch()
    (tmp_path / "f.part").chmod(0o666)

    write_durably(tmp_path / "f", b"a secret")

    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


def test_content_reaches_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, type(tmp_path).replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (order.append("fsync"), fsync(descriptor)))
    monkeypatch.setattr(type(tmp_path), "replace", lambda path, target: (order.append("rename"), replace(path, target)))

    write_durably(tmp_path / "f", b"new")

    assert order == ["fsync", "rename", "fsync"]
