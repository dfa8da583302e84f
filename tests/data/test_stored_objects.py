"""Folders and shards: the same objects from both, in any order; plain WebDataset reads the shards too."""

import gc
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from instantmesh import backends
from instantmesh.data.layout import member_names, write_object
from instantmesh.data.shards import pack
from instantmesh.data.source import ObjectSource
from instantmesh.data.stored_objects import ObjectFolder, ObjectShards, StoredObjects, open_source
from instantmesh.errors import InputError, OutputError
from tests.data.made_views import made_views

NAMES = ["apple", "chair-" + "long" * 25, "zebra"]  # the second is too long for an old tar archive's header


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small objects."""
    root = tmp_path_factory.mktemp("objects")
    for number, name in enumerate(NAMES):
        write_object(root / name, made_views(number))
    return root


@pytest.fixture(scope="module")
def shards(root: Path) -> Path:
    """The same objects in two shards."""
    pack(root, root.parent / "shards", objects_per_shard=2)
    return root.parent / "shards"


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """Objects that a test may spoil."""
    return shutil.copytree(root, tmp_path / "copy")


def assert_same(first: StoredObjects, second: StoredObjects, index: int, views: list[int]) -> None:
    a, b = first.read(index, views), second.read(index, views)
    for field in ("images", "mask", "depth", "normal"):
        assert torch.equal(getattr(a, field), getattr(b, field)), field
    assert torch.equal(a.cameras.camera_to_world, b.cameras.camera_to_world)
    assert torch.equal(a.cameras.intrinsics, b.cameras.intrinsics)


def test_folders_and_shards_hold_the_same_items(root: Path, shards: Path):
    from_folder, from_shards = open_source(root), open_source(shards)
    assert isinstance(from_folder, ObjectFolder)
    assert isinstance(from_shards, ObjectShards)
    for source in (from_folder, from_shards):
        assert isinstance(source, ObjectSource)
        assert source.names == NAMES
        assert len(source) == 3
        assert source.view_count == 4
    for index, views in [(2, [1]), (0, [3, 0, 2]), (1, [0, 1, 2, 3]), (2, [1])]:
        assert_same(from_folder, from_shards, index, views)
    assert_same(from_folder, pickle.loads(pickle.dumps(from_shards)), 1, [2])


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves closing to the garbage collector
def test_plain_webdataset_streams_the_very_same_files(root: Path, shards: Path):
    archives = sorted(str(path) for path in shards.glob("*.tar"))
    assert len(archives) == 2
    samples = list(backends.load("webdataset").WebDataset(archives, shardshuffle=False))
    gc.collect()
    assert [sample["__key__"] for sample in samples] == NAMES
    for sample in samples:
        files = {name: content for name, content in sample.items() if not name.startswith("__")}
        assert set(files) == set(member_names(4))
        for name, content in files.items():
            assert content == (root / sample["__key__"] / name).read_bytes()


def test_packing_twice_gives_the_same_archives(root: Path, shards: Path, tmp_path: Path):
    pack(root, tmp_path / "again", objects_per_shard=2)
    assert sorted(p.name for p in shards.iterdir()) == ["000000.tar", "000001.tar", "index.json", "places.npy"]
    for path in shards.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    with pytest.raises(OutputError, match="exists"):
        pack(root, shards)


@pytest.mark.parametrize("content", [["zebra", "apple"], {"objects": ["zebra", "apple"], "count": 2}])
def test_the_list_of_good_objects_decides(copy: Path, tmp_path: Path, content: object):
    (copy / "objects.json").write_text(json.dumps(content))
    assert open_source(copy).names == ["zebra", "apple"]
    assert pack(copy, tmp_path / "out").names == ["zebra", "apple"]
    assert ObjectFolder(copy, NAMES[:1]).names == NAMES[:1]


@pytest.mark.parametrize("content", ["{", '{"good": ["a"]}', "[1]", '["../apple"]'])
def test_a_list_that_is_none(copy: Path, content: str):
    (copy / "objects.json").write_text(content)
    with pytest.raises(InputError):
        open_source(copy)


def test_incomplete_folders_are_no_objects(copy: Path, tmp_path: Path):
    (copy / "zebra" / "000.png").unlink()
    (copy / "apple").rename(copy / ".apple-x1")
    assert open_source(copy).names == NAMES[1:2]
    with pytest.raises(InputError, match="there is no folder"):
        open_source(tmp_path / "nowhere")


def test_an_object_that_lacks_a_file_is_not_packed(copy: Path, tmp_path: Path):
    (copy / "zebra" / "003_depth.png").unlink()
    with pytest.raises(InputError, match=r"zebra: 003_depth\.png is missing"):
        pack(copy, tmp_path / "out")
    shutil.rmtree(copy / "zebra")
    write_object(copy / "zebra", made_views(2)[[0, 1]])
    with pytest.raises(InputError, match="zebra has 2 views, apple has 4"):
        pack(copy, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_damaged_shards_are_named(shards: Path, tmp_path: Path):
    copy = shutil.copytree(shards, tmp_path / "shards")
    whole = (copy / "000001.tar").read_bytes()
    (copy / "000001.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"zebra: cameras\.npz can't be read: \S+000001\.tar ends too early"):
        open_source(copy).read(2, range(4))
    (copy / "000001.tar").unlink()
    with pytest.raises(InputError, match=r"zebra: \S+000001\.tar: No such file"):
        open_source(copy).read(2, [0])
    (copy / "places.npy").unlink()
    with pytest.raises(InputError, match=r"places\.npy is missing"):
        open_source(copy)
    (copy / "index.json").write_text("{}")
    with pytest.raises(InputError, match=r"index of .* is damaged"):
        open_source(copy)
