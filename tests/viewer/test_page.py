"""The viewer: what its page carries, that it asks for nothing, and what a browser shows of it."""

import base64
import html
import io
import json
import re
import shutil
import subprocess
import sys
import types
import webbrowser
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from instantmesh import InputError, Mesh, OutputError, Texture, cli
from instantmesh.cameras import spherical_cameras
from instantmesh.geometry.bounds import to_unit_sphere
from instantmesh.render.shading import render_shaded
from instantmesh.viewer.page import notebook_html, save_page, show, viewer_html
from tests.files.lettered import colored_letter, textured_letter

HERE = Path(__file__).parent
NODE = shutil.which("node")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PACKAGES = HERE.parent / "viewers" / "node_modules"
SIZE_PX = 400


def carried(page: str) -> tuple[dict, bytes]:
    (text,) = re.findall(r"^const model = (.*);$", page, re.MULTILINE)
    model = json.loads(text)
    return model, zlib.decompress(base64.b64decode(model["data"]))


def test_the_page_carries_the_mesh():
    mesh = colored_letter(2)
    model, data = carried(viewer_html(mesh))
    v, f = len(mesh.vertices), len(mesh.faces)
    assert (model["vertices"], model["faces"], model["texture"]) == (v, f, None)
    assert len(data) == 12 * f + 6 * v + 3 * v
    assert torch.equal(torch.tensor(np.frombuffer(data, "<u4", 3 * f).reshape(-1, 3).astype(int)), mesh.faces)
    places = np.frombuffer(data, "<u2", 3 * v, 12 * f).reshape(-1, 3) / 32767.5 - 1
    np.testing.assert_allclose(places, to_unit_sphere(mesh).vertices, atol=2e-5)
    colors = np.frombuffer(data, np.uint8, 3 * v, 12 * f + 6 * v).reshape(-1, 3) / 255
    assert mesh.vertex_colors is not None
    np.testing.assert_allclose(colors, mesh.vertex_colors, atol=0.51 / 255)


def test_the_page_carries_the_texture():
    mesh = textured_letter()
    assert mesh.texture is not None
    model, data = carried(viewer_html(mesh))
    v, f = len(mesh.vertices), len(mesh.faces)
    uv = np.frombuffer(data, "<u2", 6 * f, 12 * f + 6 * v).reshape(-1, 3, 2) / 65535
    np.testing.assert_allclose(uv, mesh.texture.uv, atol=1e-5)
    kind, text = re.fullmatch(r"data:image/(\w+);base64,(.*)", model["texture"]).groups()
    assert kind == "png"  # flat shades and letters
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) / 255
    np.testing.assert_allclose(image, mesh.texture.image.permute(1, 2, 0), atol=0.51 / 255)
    noisy = (torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4).expand(3, 64, 64)
    photo = Mesh(mesh.vertices, mesh.faces, None, Texture(noisy, mesh.texture.uv))
    assert carried(viewer_html(photo))[0]["texture"].startswith("data:image/jpeg;base64,")


def test_it_needs_no_network():
    page = viewer_html(textured_letter())
    assert not re.search(r"https?:|//cdn|import\s|<link|src\s*=\s*[\"']http", page)
    assert len(page) < 60_000


def test_meshes_without_colours_are_grey():
    mesh = Mesh(torch.eye(3), torch.tensor([[0, 1, 2]]))
    _, data = carried(viewer_html(mesh))
    assert set(data[-9:]) == {204}


def test_a_notebook_gets_the_page_in_a_frame():
    mesh = colored_letter(1)
    framed = notebook_html(mesh, 300)
    (inside,) = re.findall(r'srcdoc="([^"]*)"', framed)
    assert html.unescape(inside) == viewer_html(mesh)
    assert "height: 300px" in framed


def test_pages_on_disk(tmp_path):
    path = save_page(colored_letter(1), tmp_path / "page.html")
    assert path.read_text(encoding="utf-8") == viewer_html(colored_letter(1))
    with pytest.raises(OutputError, match="exists"):
        save_page(colored_letter(1), path, overwrite=False)
    with pytest.raises(OutputError, match=r"\.html"):
        save_page(colored_letter(1), tmp_path / "page.txt")
    with pytest.raises(InputError, match="no faces"):
        save_page(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)), tmp_path / "none.html")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_show_opens_the_browser(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(opened.append(url)) or True)
    show(colored_letter(1))
    (file,) = tmp_path.iterdir()
    assert opened == [file.as_uri()]
    assert file.read_text(encoding="utf-8") == viewer_html(colored_letter(1))
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    with pytest.raises(OutputError, match="no browser"):
        show(colored_letter(1))


def test_show_writes_into_a_notebook(monkeypatch):
    shown = []
    display = types.ModuleType("IPython.display")
    display.__dict__.update(HTML=lambda text: text, display=shown.append)
    ipython = types.ModuleType("IPython")
    ipython.__dict__.update(get_ipython=lambda: types.SimpleNamespace(kernel=object()), display=display)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(webbrowser, "open", lambda url: pytest.fail("a notebook needs no other window"))
    show(colored_letter(1))
    assert shown == [notebook_html(colored_letter(1))]


def test_the_command(tmp_path, monkeypatch, capsys):
    source, page = textured_letter().save(tmp_path / "letter.glb"), tmp_path / "page.html"
    monkeypatch.setattr(sys, "argv", ["instantmesh", "show", str(source), "-o", str(page)])
    for code in (0, 2):  # the second time it exists
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert int(stop.value.code or 0) == code
    assert "exists" in capsys.readouterr().err
    assert carried(page.read_text(encoding="utf-8"))[0]["faces"] == len(textured_letter().faces)


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that a browser makes of pages, with one start of it."""
    if NODE is None or BROWSER is None or not PACKAGES.is_dir():
        pytest.skip("needs node, Chromium and `npm ci --prefix tests/viewers`")
    folder = tmp_path_factory.mktemp("pages")
    save_page(textured_letter(), folder / "textured.html")
    save_page(colored_letter(), folder / "colored.html")
    (folder / "notebook.html").write_text(f"<p>Before</p>{notebook_html(textured_letter(), SIZE_PX)}<p>After</p>")
    done = subprocess.run(
        [NODE, str(HERE / "look.mjs"), BROWSER, str(PACKAGES), str(folder), str(SIZE_PX)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder


def ours(mesh: Mesh, azimuth_deg: float = 30, elevation_deg: float = 20, distance: float = 4.5) -> tuple:
    camera = spherical_cameras([float(azimuth_deg)], [float(elevation_deg)], float(distance), 30.0)
    renderings = render_shaded(to_unit_sphere(mesh), camera, SIZE_PX, SIZE_PX)
    inside = torch.nn.functional.avg_pool2d(renderings.seen.mask, 2)[0, 0].numpy()
    return renderings.color()[0].permute(1, 2, 0).numpy() * 255, inside


def seen(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


@pytest.mark.parametrize(("name", "mesh"), [("textured", textured_letter()), ("colored", colored_letter())])
@pytest.mark.slow
def test_a_browser_shows_what_we_render(name, mesh, looked_at):
    theirs = seen(looked_at / f"{name}.png")[: SIZE_PX - 40]  # above the buttons
    expected, inside = (image[: SIZE_PX - 40] for image in ours(mesh))
    difference = np.abs(theirs - expected).max(-1)
    assert np.median(difference[inside == 1]) < 2
    assert difference[inside == 1].mean() < 3
    outline = theirs.min(-1) < 250
    assert (outline & (inside > 0)).sum() / (outline | (inside > 0)).sum() > 0.98
    assert (theirs[inside == 0] == 255).mean() > 0.995


@pytest.mark.slow
def test_it_can_be_turned_and_brought_nearer(looked_at):
    # dragged 100 pixels to the left and 50 down, 0.4 degrees a pixel; then wheeled by -200 (two clicks of 100)
    expected, inside = ours(textured_letter(), 30 + 40, 20 + 20, 4.5 * np.exp(-0.3))
    theirs = seen(looked_at / "turned.png")
    clear = np.zeros_like(inside, bool)
    clear[: SIZE_PX - 40] = inside[: SIZE_PX - 40] == 1
    assert np.median(np.abs(theirs - expected).max(-1)[clear]) < 2
    pinched, inside = ours(textured_letter(), distance=4.5 / 2)
    assert np.median(np.abs(seen(looked_at / "pinched.png") - pinched).max(-1)[inside == 1]) < 3


@pytest.mark.slow
def test_its_looks_and_its_frame(looked_at):
    shape, faces = (seen(looked_at / f"{name}.png")[: SIZE_PX - 40] for name in ("shape", "faces"))
    assert np.ptp(shape, axis=-1).max() <= 1  # grey
    assert (shape < 250).any()
    darker = (faces < shape - 60).all(-1).sum() / (shape < 250).all(-1).sum()
    assert 0.02 < darker < 0.4
    framed = seen(looked_at / "notebook.png")
    assert (np.ptp(framed, axis=-1) > 20).sum() > 1000  # colours, in a frame that may run scripts and nothing else
