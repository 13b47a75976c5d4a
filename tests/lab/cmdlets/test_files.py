"""The tree of files and the world's file table, kept in step both ways."""

from __future__ import annotations

import hashlib
import shutil
import threading
from pathlib import Path

import pytest

from provisioner.lab.world.build import new_world
from provisioner.lab.world.state import HostFile
from provisioner.lab.world.world import World
from tests.engine.cmdlets.files import FileTree
from tests.lab.world.hand import NullGuests

DISK = "D:\\VMs\\fileserver\\fileserver.vhdx"
ISO = "C:\\ProgramData\\Images\\talos.iso"


@pytest.fixture
def tree(world: World, tmp_path: Path) -> FileTree:
    tree = FileTree(world, tmp_path / "drives")
    tree.sync()
    return tree


def put_iso(world: World) -> HostFile:
    world.storage.make_folder("C:\\ProgramData\\Images")
    return world.storage.put(HostFile(ISO, 300 * 1024**2, 0.0, sha256="ab" * 32, talos_iso="v1.11.5"))


def test_the_worlds_files_are_in_the_tree(tree: FileTree, world: World) -> None:
    disk = tree.root / "D/VMs/fileserver/fileserver.vhdx"
    file = world.storage.find(DISK)
    assert file is not None
    assert disk.stat().st_size == file.size_bytes
    assert disk.stat().st_blocks * 512 < 1024**2  # sparse
    world.storage.write("C:\\ProgramData\\a.json", b"{}")
    tree.sync()
    assert (tree.root / "C/ProgramData/a.json").read_bytes() == b"{}"
    world.storage.delete("C:\\ProgramData\\a.json")
    tree.sync()
    assert not (tree.root / "C/ProgramData/a.json").exists()


def test_what_is_written_is_in_the_world(tree: FileTree, world: World) -> None:
    folder = tree.root / "C/ProgramData/TalosHyperV/jobs"
    folder.mkdir(parents=True)
    (folder / "LAB.json").write_bytes(b"one")
    tree.sync()
    path = "C:\\ProgramData\\TalosHyperV\\jobs\\LAB.json"
    assert world.storage.read(path) == b"one"
    assert world.storage.find(path).path == path  # type: ignore[union-attr]
    (folder / "LAB.json").write_bytes(b"two and more")
    tree.sync()
    assert world.storage.read(path) == b"two and more"
    shutil.rmtree(folder.parent)
    tree.sync()
    assert not world.storage.exists("C:\\ProgramData\\TalosHyperV")


def test_a_large_file_is_known_again_where_it_is_moved_to(tree: FileTree, world: World) -> None:
    gone: list[str] = []
    world.storage.disk_deleted = lambda file: gone.append(file.path)
    put_iso(world)
    world.hyperv.power.turn_off(next(iter(world.state.host.vms)))
    world.kernel.spend(60)
    tree.sync()
    images = tree.root / "C/ProgramData/Images"
    (images / "talos.iso").rename(images / "other.iso")
    (tree.root / "D/VMs/fileserver/fileserver.vhdx").rename(tree.root / "D/VMs/moved.vhdx")
    tree.sync()
    moved = world.storage.find("C:\\ProgramData\\Images\\other.iso")
    assert moved is not None
    assert (moved.talos_iso, moved.sha256) == ("v1.11.5", "ab" * 32)
    assert world.storage.find(ISO) is None
    disk = world.storage.find("D:\\VMs\\moved.vhdx")
    assert disk is not None
    assert disk.vhd is not None
    assert gone == []  # moved, not deleted: what is on it stays


def test_a_copy_of_a_large_file_is_one(tree: FileTree, world: World) -> None:
    put_iso(world)
    tree.sync()
    images = tree.root / "C/ProgramData/Images"
    shutil.copy(images / "talos.iso", images / "copy.iso")
    assert tree.sha256("C:\\ProgramData\\Images\\copy.iso") == "ab" * 32
    assert world.storage.find(ISO) is not None


def test_other_bytes_of_the_same_size_are_another_file(tree: FileTree, world: World) -> None:
    file = put_iso(world)
    tree.sync()
    place = tree.root / "C/ProgramData/Images/talos.iso"
    place.write_bytes(b"x" * 100)
    assert tree.sha256(ISO) == hashlib.sha256(b"x" * 100).hexdigest()
    changed = world.storage.find(ISO)
    assert changed is not None
    assert (changed.size_bytes, changed.talos_iso) == (100, "")
    assert file.talos_iso == "v1.11.5"


def test_what_the_world_refuses_comes_back(tree: FileTree, world: World) -> None:
    """A VM runs on the disk: it cannot be deleted, whatever the file system thinks."""
    place = tree.root / "D/VMs/fileserver/fileserver.vhdx"
    place.unlink()
    tree.sync()
    assert world.storage.find(DISK) is not None
    assert place.exists()


def test_a_full_volume_takes_nothing(tree: FileTree, world: World) -> None:
    world.storage.fill("C:", 0)
    (tree.root / "C/ProgramData/big.bin").write_bytes(b"x" * 10000)
    tree.sync()
    assert world.storage.find("C:\\ProgramData\\big.bin") is None
    assert not (tree.root / "C/ProgramData/big.bin").exists()


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("C:\\a\\b.txt", "C:\\a\\b.txt"),
        ("C:/a/b.txt", "C:\\a\\b.txt"),
        ("C:\\a\\..\\b.txt", "C:\\b.txt"),
        ("Microsoft.PowerShell.Core\\FileSystem::{root}/D/VMs/x", "D:\\VMs\\x"),
        ("{root}/D/VMs/x", "D:\\VMs\\x"),
        ("\\\\nas\\share\\x.iso", "\\\\nas\\share\\x.iso"),
        ("", ""),
        ("name.vhdx", "name.vhdx"),
    ],
)
def test_spellings_of_a_path(tree: FileTree, said: str, path: str) -> None:
    assert tree.windows_path(said.replace("{root}", str(tree.root))) == path


def test_names_keep_the_case_they_were_written_in(tree: FileTree, world: World) -> None:
    tree.windows_path("D:\\VMs\\CP-1\\Disk.vhdx")
    world.storage.make_folder("D:\\VMs\\CP-1")
    world.hyperv.disks.new_vhd("D:\\VMs\\CP-1\\Disk.vhdx", 1024**3)
    tree.sync()
    assert (tree.root / "D/VMs/CP-1/Disk.vhdx").is_file()
    assert world.storage.find("d:\\vms\\cp-1\\disk.VHDX") is not None


def test_an_engine_may_be_at_work_meanwhile(tree: FileTree, world: World) -> None:
    """Records are written beside and moved over the old one, folders come and go, while the tree is looked through."""
    folder = tree.root / "C/ProgramData/jobs"
    folder.mkdir()
    done = threading.Event()

    def work() -> None:
        for number in range(300):
            (folder / "LAB.json.new").write_text(f"{number}")
            (folder / "LAB.json.new").rename(folder / "LAB.json")
            (folder / "x").mkdir()
            (folder / "x/y").touch()
            shutil.rmtree(folder / "x")
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.is_set():
        tree.sync()
    thread.join()
    tree.sync()
    tree.sync()
    assert world.storage.read("C:\\ProgramData\\jobs\\LAB.json") == b"299"
    assert world.storage.children("C:\\ProgramData\\jobs") == ["C:\\ProgramData\\jobs\\LAB.json"]


def test_a_file_keeps_its_date_over_a_restart_of_the_lab(tmp_path: Path) -> None:
    """The module takes an image for the one it has checked as long as size and date are those of its record."""
    world = new_world(guests=NullGuests, rate=1000.0)
    put_iso(world)
    dates = []
    for _ in range(2):
        tree = FileTree(world, tmp_path / "drives")
        tree.sync()
        dates.append((tree.root / "C/ProgramData/Images/talos.iso").stat().st_mtime)
        tree.close()
        world.kernel.spend(30)
    assert dates[0] == dates[1] == world.kernel.date_of(0.0).timestamp()
