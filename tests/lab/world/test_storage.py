"""Files and volumes of the host: compared without case, refused with the code that Windows gives, counted to the byte."""

from __future__ import annotations

import pytest

from provisioner.lab.world.storage import FileFault, Storage
from tests.lab.world.helpers import hand_world


@pytest.fixture
def storage() -> Storage:
    return hand_world().storage


@pytest.mark.parametrize(
    ("path", "kind", "code"),
    [("D:\\none\\a.txt", "no-folder", "0x80070003"), ("E:\\a.txt", "no-volume", "0x8007000F")],
)
def test_where_nothing_can_be_written(storage: Storage, path: str, kind: str, code: str) -> None:
    with pytest.raises(FileFault, match=code) as caught:
        storage.write(path, b"")
    assert caught.value.kind == kind


def test_paths_are_compared_without_case_and_kept_as_spelled(storage: Storage) -> None:
    storage.make_folder("D:\\Data")
    storage.write("D:\\Data\\Notes.TXT", b"mine")
    assert storage.read("d:\\data\\..\\DATA\\notes.txt") == b"mine"
    assert storage.children("d:\\DATA") == ["D:\\Data\\Notes.TXT"]


def test_folders_have_their_parents_and_stay_when_emptied(storage: Storage) -> None:
    storage.make_folder("D:\\a\\b\\c")
    storage.write("D:\\a\\b\\c\\x", b"")
    assert storage.is_folder("D:\\a\\b")
    assert storage.is_folder("D:\\")
    storage.delete("D:\\a\\b\\c\\x")
    assert storage.is_folder("D:\\a\\b\\c")
    storage.delete("D:\\a\\b\\c")
    assert storage.is_folder("D:\\a\\b")
    assert not storage.exists("D:\\a\\b\\c")


def test_a_full_folder_goes_only_with_all_in_it(storage: Storage) -> None:
    storage.make_folder("D:\\a\\b")
    storage.write("D:\\a\\b\\x", b"")
    with pytest.raises(FileFault, match="0x80070091"):
        storage.delete("D:\\a")
    storage.delete("D:\\a", recurse=True)
    assert not storage.exists("D:\\a")


def test_a_move_that_fails_loses_nothing(storage: Storage) -> None:
    storage.make_folder("D:\\a")
    storage.write("D:\\a\\x", b"1")
    with pytest.raises(FileFault, match="0x80070003"):
        storage.rename("D:\\a\\x", "D:\\none\\x")
    assert storage.read("D:\\a\\x") == b"1"
    storage.write("D:\\a\\y", b"2")
    storage.rename("D:\\a\\x", "D:\\a\\y")
    assert (storage.read("D:\\a\\y"), storage.find("D:\\a\\x")) == (b"1", None)


def test_room_is_counted(storage: Storage) -> None:
    storage.fill("D:", 10_000)
    storage.make_folder("D:\\a")
    storage.write("D:\\a\\x", b"7" * 8000)
    assert storage.free_bytes("D:\\a\\x") == 2000
    with pytest.raises(FileFault, match="0x80070070"):
        storage.write("D:\\a\\y", b"7")
    storage.write("D:\\a\\x", b"7" * 9000)  # in place of itself
    storage.delete("D:\\a\\x")
    assert storage.free_bytes("D:") == 10_000


def test_what_is_on_a_deleted_disk_is_told_once() -> None:
    world = hand_world()
    told: list[str] = []
    world.storage.disk_deleted = lambda file: told.append(file.path)
    world.storage.make_folder("D:\\a")
    world.hyperv.disks.new_vhd("D:\\a\\d.vhdx", 1024**3)
    world.storage.write("D:\\a\\x", b"")
    world.storage.delete("D:\\a", recurse=True)
    assert told == ["D:\\a\\d.vhdx"]
