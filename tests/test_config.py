"""Configuration files: what is wrong is said in one line, soon, and never by a traceback."""

import pytest

from instantmesh.config import ReconstructionConfig, read_config, yaml_value
from instantmesh.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image-size-px: 64", "unknown key 'image-size-px'; did you mean 'image_size_px'"),
        ("encoder: {hidden-size: 3}", "unknown key 'encoder.hidden-size'; did you mean 'hidden_size'"),
        ("'': 3", "unknown key ''"),
        ("1: 3", "must hold keys and values"),
        ("[1]", "must hold keys and values"),
        ("image_size_px: " + "a" * 100_000, r"image_size_px: .*got 'aaa.{,40}$|image_size_px: .*\.\.\.aaa"),
        ("a: &a [x, x]\nb: *a", "aliases"),
        ("{" * 3000, "can't read"),
        ("[" * 100_000, "can't read"),
        ("a: !!python/object/apply:os.system [ls]", "can't read"),
        ("a: \x00", "can't read"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, message):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(tmp_path / "config.yaml", ReconstructionConfig)
    assert len(str(caught.value)) < 2000


def test_a_bomb_of_aliases_is_refused_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 12)]
    with pytest.raises(ValueError, match="aliases"):
        yaml_value("\n".join(lines))


def test_plain_values_and_json():
    assert yaml_value('{"a": [1, 2.5, true, null, "b*c"]}') == {"a": [1, 2.5, True, None, "b*c"]}
    assert yaml_value("a: 1.0e-3\nb: &name 3") == {"a": 0.001, "b": 3}
