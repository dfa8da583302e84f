"""Models by name, files without a network, checkpoints that are safe, converted once and checked."""

import json
import logging
import os
import pickle
import socket
import traceback
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from instantmesh import hub
from instantmesh.errors import CheckpointError, MissingFileError, OutputError, UnknownModelError
from instantmesh.hub import checkpoints, download
from instantmesh.hub.checkpoints import convert_official, official_tensors
from instantmesh.hub.download import fetch_files
from tests.paths import GOLDEN

OFFICIAL = ("instant-mesh-large", "instant-mesh-base", "instant-nerf-large", "instant-nerf-base")
PARAMETERS = {
    "instant-nerf-base": 313_249_004,
    "instant-nerf-large": 378_477_332,
    "instant-mesh-base": 313_352_516,
    "instant-mesh-large": 378_657_644,
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path) -> None:
    """Sockets refuse to connect, and every cache is empty."""

    def refuse(*_args, **_kwargs):
        raise OSError("the tests have no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("INSTANTMESH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "huggingface"))


def official_shapes(name: str) -> dict[str, tuple[int, ...]]:
    shapes = json.loads((GOLDEN / "keys" / f"{name}.json").read_text())
    return {key.removeprefix("lrm_generator."): tuple(shape) for key, shape in shapes.items()}


def meta_state(name: str) -> dict[str, torch.Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in official_shapes(name).items()}


def little_checkpoint(path: Path, value: float = 1.0, prefix: str = "lrm_generator.") -> Path:
    state = {
        f"{prefix}a.weight": torch.full((3, 4), value),
        f"{prefix}b.bias": torch.arange(5, dtype=torch.float16),
        f"{prefix}source_camera_x": torch.zeros(2),
        "vgg.weight": torch.zeros(7),
    }
    torch.save({"state_dict": state, "epoch": 3}, path)
    return path


class TestRegistry:
    def test_names(self):
        single_view = [f"openlrm-{data}-{size}-1.1" for data in ("obj", "mix") for size in ("small", "base", "large")]
        assert tuple(hub.MODELS) == ("tiny", *OFFICIAL, "triposr", *single_view)
        for name in hub.MODELS:
            assert hub.resolve(name).name == name

    @pytest.mark.parametrize(
        ("typed", "meant"),
        [("instant_mesh_large", "instant-mesh-large"), ("instant-nerf-bas", "instant-nerf-base"), ("Tiny", "tiny")],
    )
    def test_the_nearest_name_is_suggested(self, typed, meant):
        with pytest.raises(UnknownModelError, match=f"did you mean {meant}") as caught:
            hub.resolve(typed)
        assert "Known models: tiny, " in str(caught.value)

    def test_what_is_near_to_nothing_gets_the_list(self):
        with pytest.raises(UnknownModelError, match=r"'zzz'\. Known models: tiny"):
            hub.resolve("zzz")

    @pytest.mark.parametrize("name", OFFICIAL)
    def test_entries_say_what_the_files_are(self, name):
        model = hub.resolve(name)
        weights = model.part("reconstruction")
        assert weights.source == "https://huggingface.co/TencentARC/InstantMesh"
        assert [file.path for file in weights.files] == [name.replace("-", "_") + ".ckpt"]
        assert weights.size_bytes == pytest.approx(4 * PARAMETERS[name], rel=0.01)  # float32
        assert model.part("unet").size_bytes == pytest.approx(2 * 865_910_724, rel=0.01)  # float16
        assert "NC" in model.part("diffusion").licence
        assert model.size_bytes == sum(part.size_bytes for part in model.parts)
        with pytest.raises(KeyError, match="no part 'embedded'"):
            model.part("embedded")

    @pytest.mark.parametrize("name", OFFICIAL)
    def test_fingerprints_tell_the_variants_apart(self, name):
        assert sum(torch.Size(shape).numel() for shape in official_shapes(name).values()) == PARAMETERS[name]
        assert hub.identify(meta_state(name)) == name

    def test_other_tensors_are_nobodys(self):
        assert hub.identify({"a": torch.zeros(1)}) is None
        assert hub.identify({}) is None


class TestDownload:
    def test_assets_of_a_checkout_and_of_an_installed_package(self, monkeypatch, tmp_path):
        assert hub.asset_folder("configs").name == "configs"
        package = tmp_path / "site-packages/instantmesh"
        (package / "_assets/weights").mkdir(parents=True)
        monkeypatch.setattr(download, "__file__", str(package / "hub/download.py"))
        assert hub.asset_folder("weights") == package / "_assets/weights"
        with pytest.raises(MissingFileError, match="reinstall"):
            hub.asset_folder("configs")

    def test_cache_folder(self, monkeypatch, tmp_path):
        assert hub.cache_folder() == tmp_path / "cache"
        monkeypatch.delenv("INSTANTMESH_CACHE")
        assert hub.cache_folder() == Path.home() / ".cache/instantmesh"

    @pytest.mark.parametrize("local_files_only", [True, False])
    def test_nothing_there_says_what_to_put_where(self, tmp_path, local_files_only):
        with pytest.raises(MissingFileError) as caught:
            hub.fetch_file("owner/name", "folder/file.bin", tmp_path, local_files_only)
        message = str(caught.value)
        assert "https://huggingface.co/owner/name/resolve/main/folder/file.bin" in message
        assert f"-> {tmp_path / 'owner/name/folder/file.bin'}" in message
        assert caught.value.__cause__ is not None

    def test_files_put_by_hand(self, tmp_path):
        folder = tmp_path / "cache/owner/name"
        folder.mkdir(parents=True)
        (folder / "a").touch()
        assert hub.fetch_file("owner/name", "a") == folder / "a"
        with pytest.raises(MissingFileError) as caught:
            fetch_files("owner/name", ["a", "b"], local_files_only=True)
        assert str(folder / "b") in str(caught.value)
        assert f"-> {folder / 'a'}" not in str(caught.value)  # only what is missing is listed
        (folder / "b").touch()
        assert fetch_files("owner/name", ["a", "b"]) == folder

    def test_files_in_the_hubs_cache(self, tmp_path):
        repository = tmp_path / "models--owner--name"
        snapshot = repository / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        (repository / "refs").mkdir()
        (repository / "refs/main").write_text("0" * 40)
        (snapshot / "a").write_text("x")
        assert hub.fetch_file("owner/name", "a", tmp_path).read_text() == "x"
        with pytest.raises(MissingFileError):  # the snapshot is there, this file of it isn't
            hub.fetch_file("owner/name", "b", tmp_path)

    def test_is_cached(self, tmp_path):
        assert hub.is_cached(hub.resolve("tiny"), tmp_path)
        model = hub.resolve("instant-nerf-base")
        assert not hub.is_cached(model, tmp_path)
        for part in model.parts:
            for file in part.files:
                path = tmp_path / str(part.repo) / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        assert hub.is_cached(model, tmp_path)
        assert hub.fetch_part(model.part("diffusion"), tmp_path) == tmp_path / "sudo-ai/zero123plus-v1.2"
        (tmp_path / "TencentARC/InstantMesh/instant_nerf_base.ckpt").unlink()
        assert not hub.is_cached(model, tmp_path)

    def test_embedded_parts_are_not_fetched(self):
        with pytest.raises(ValueError, match="embedded"):
            hub.fetch_part(hub.resolve("tiny").part("embedded"))


class TestNotice:
    def test_is_given_once(self, caplog, tmp_path):
        model = hub.resolve("instant-mesh-base")
        with caplog.at_level(logging.WARNING, logger="instantmesh"):
            hub.announce(model)
            hub.announce(model)
        assert len(caplog.records) == 1
        for text in ("instant-mesh-base", "Apache-2.0", "CC BY-NC 4.0", "huggingface.co/TencentARC/InstantMesh"):
            assert text in caplog.text
        hub.announce(hub.resolve("instant-mesh-large"))
        assert len(caplog.records) == 2

    def test_is_given_each_time_where_no_record_can_be_kept(self, caplog, monkeypatch, tmp_path):
        (tmp_path / "file").touch()
        monkeypatch.setenv("INSTANTMESH_CACHE", str(tmp_path / "file"))
        for _ in range(2):
            hub.announce(hub.resolve("tiny"))
        assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 2


class Malicious:
    """Unpickled without care, it makes the file `path`."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


STATE = {"a": torch.rand(3, 2), "b.c": torch.arange(4, dtype=torch.int64), "half": torch.rand(2).half()}


class TestReading:
    def assert_same(self, read: dict) -> None:
        assert set(read) == set(STATE)
        for name, tensor in STATE.items():
            assert torch.equal(read[name], tensor)
            assert read[name].dtype == tensor.dtype

    @pytest.mark.parametrize("wrapped", [False, True])
    @pytest.mark.parametrize("zipped", [False, True])
    def test_pickles(self, tmp_path, wrapped, zipped):
        saved = {"state_dict": STATE, "epoch": 1} if wrapped else STATE
        torch.save(saved, tmp_path / "a.ckpt", _use_new_zipfile_serialization=zipped)
        self.assert_same(hub.read_checkpoint(tmp_path / "a.ckpt"))

    def test_safetensors(self, tmp_path):
        save_file(STATE, tmp_path / "a.safetensors")
        self.assert_same(hub.read_checkpoint(tmp_path / "a.safetensors"))

    @pytest.mark.parametrize("zipped", [False, True])
    def test_code_in_a_pickle_is_not_run(self, tmp_path, zipped):
        trap = tmp_path / "trap"
        content = {"state_dict": {"a": torch.zeros(2)}, "x": Malicious(trap)}
        torch.save(content, tmp_path / "a.ckpt", _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match="could run code"):
            hub.read_checkpoint(tmp_path / "a.ckpt")
        assert not trap.exists()

    def test_a_plain_malicious_pickle(self, tmp_path):
        trap = tmp_path / "trap"
        (tmp_path / "a.bin").write_bytes(pickle.dumps(Malicious(trap)))
        with pytest.raises(CheckpointError):
            hub.read_checkpoint(tmp_path / "a.bin")
        assert not trap.exists()
        pickle.loads((tmp_path / "a.bin").read_bytes())  # the trap works
        assert trap.exists()

    @pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors"])
    @pytest.mark.parametrize("damage", ["empty", "cut", "noise"])
    def test_damaged_files(self, tmp_path, name, damage):
        path = tmp_path / name
        big = {"a": torch.rand(100, 100)}
        torch.save(big, path) if name == "a.ckpt" else save_file(big, path)
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "noise": b"\x93" * 500}[damage])
        with pytest.raises(CheckpointError, match="damaged") as caught:
            hub.read_checkpoint(path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize("content", [[torch.zeros(2)], {}, {"a": 3}, {"state_dict": {}}, {3: torch.zeros(2)}])
    def test_what_is_no_state_dict(self, tmp_path, content):
        torch.save(content, tmp_path / "a.ckpt")
        with pytest.raises(CheckpointError, match="no state dict"):
            hub.read_checkpoint(tmp_path / "a.ckpt")

    @pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
    def test_names_of_wrapped_models(self, tmp_path, prefix):
        torch.save({prefix + name: x for name, x in STATE.items()}, tmp_path / "a.ckpt")
        self.assert_same(hub.read_checkpoint(tmp_path / "a.ckpt"))

    @pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors"])
    def test_what_is_no_checkpoint_at_all(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
        with pytest.raises(CheckpointError, match="pointer of Git LFS"):
            hub.read_checkpoint(tmp_path / name)
        (tmp_path / name).write_bytes(b"\n<!DOCTYPE html><html><body>Not found</body></html>")
        with pytest.raises(CheckpointError, match="a web page"):
            hub.read_checkpoint(tmp_path / name)

    def test_no_message_advises_to_switch_safety_off(self, tmp_path):
        torch.save({"x": Malicious(tmp_path / "trap")}, tmp_path / "a.ckpt")
        with pytest.raises(CheckpointError, match="could run code") as caught:
            hub.read_checkpoint(tmp_path / "a.ckpt")
        shown = "".join(traceback.format_exception(caught.value))
        assert "weights_only" not in shown
        assert "trust" not in shown

    def test_missing(self, tmp_path):
        for path in (tmp_path, tmp_path / "a.ckpt"):
            with pytest.raises(MissingFileError, match="no checkpoint"):
                hub.read_checkpoint(path)


class TestConverting:
    def test_official_names(self, tmp_path):
        tensors = hub.load_official(little_checkpoint(tmp_path / "a.ckpt"))
        assert sorted(tensors) == ["a.weight", "b.bias"]
        assert torch.equal(tensors["a.weight"], torch.ones(3, 4))
        assert tensors["b.bias"].dtype == torch.float16

    def test_once(self, monkeypatch, tmp_path):
        source = little_checkpoint(tmp_path / "a.ckpt")
        target = convert_official(source)
        assert target.is_relative_to(tmp_path / "cache/converted")
        assert [p.name for p in target.parent.iterdir()] == ["model.safetensors"]
        monkeypatch.setattr(checkpoints, "_read_pickle", lambda path: pytest.fail("converted twice"))
        assert convert_official(source) == target
        assert set(hub.load_official(source)) == {"a.weight", "b.bias"}

    def test_again_when_the_file_has_changed(self, tmp_path):
        source = little_checkpoint(tmp_path / "a.ckpt")
        convert_official(source)
        little_checkpoint(source, value=2.0)
        os.utime(source, ns=(1, 1))
        assert hub.load_official(source)["a.weight"].max() == 2

    def test_again_when_the_converted_file_is_damaged(self, tmp_path):
        source = little_checkpoint(tmp_path / "a.ckpt")
        target = convert_official(source)
        target.write_bytes(target.read_bytes()[:40])
        assert hub.load_official(source)["a.weight"].max() == 1

    def test_files_of_one_name_do_not_collide(self, tmp_path):
        for value, folder in ((1.0, "x"), (2.0, "y")):
            (tmp_path / folder).mkdir()
            little_checkpoint(tmp_path / folder / "a.ckpt", value)
        for value, folder in ((1.0, "x"), (2.0, "y")):
            assert hub.load_official(tmp_path / folder / "a.ckpt")["a.weight"].max() == value

    def test_an_unwritable_cache_is_done_without(self, caplog, tmp_path):
        source = little_checkpoint(tmp_path / "a.ckpt")
        with pytest.raises(OutputError, match="can't write into"):
            convert_official(source, source)
        assert set(hub.load_official(source, source)) == {"a.weight", "b.bias"}
        assert "read without being converted" in caplog.text

    def test_safetensors_need_no_conversion(self, tmp_path):
        save_file({"lrm_generator.a": torch.ones(2)}, tmp_path / "a.safetensors")
        assert list(hub.load_official(tmp_path / "a.safetensors")) == ["a"]
        assert not (tmp_path / "cache").exists()

    def test_names_without_the_prefix(self, tmp_path):
        assert set(official_tensors(meta_state("instant-nerf-base"))) == set(official_shapes("instant-nerf-base"))
        assert set(hub.load_official(little_checkpoint(tmp_path / "a.ckpt", prefix=""))) >= {"a.weight", "b.bias"}
        with pytest.raises(MissingFileError, match="no checkpoint"):
            hub.load_official(tmp_path / "b.ckpt")


class TestChecking:
    def test_the_right_tensors_pass(self):
        for name in OFFICIAL:
            hub.check_state_dict(meta_state(name), official_shapes(name))

    def test_everything_wrong_is_listed(self):
        state = {"a": torch.zeros(2), "b": torch.zeros(3), "extra": torch.zeros(1)}
        with pytest.raises(CheckpointError) as caught:
            hub.check_state_dict(state, {"a": (2,), "b": (4,), "lost": (1,)})
        message = str(caught.value)
        assert "1 missing: lost" in message
        assert "1 not expected: extra" in message
        assert "1 of another shape: b (3,) instead of (4,)" in message
        assert "file" not in message

    @pytest.mark.parametrize("given_name", OFFICIAL)
    @pytest.mark.parametrize("wanted", OFFICIAL)
    def test_another_variants_file_is_named(self, given_name, wanted):
        if given_name == wanted:
            return
        with pytest.raises(CheckpointError, match=f"this is {given_name}'s file"):
            hub.check_state_dict(meta_state(given_name), official_shapes(wanted))

    def test_long_lists_are_cut(self):
        with pytest.raises(CheckpointError, match=r"431 missing: .*\(431 in all\)") as caught:
            hub.check_state_dict({}, official_shapes("instant-nerf-base"))
        assert len(str(caught.value)) < 1500
