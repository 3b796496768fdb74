"""HEIC through a plug-in, AVIF through Pillow."""

import sys
from types import SimpleNamespace

import pytest
from data_samples import encoded, png, write
from PIL import Image, features

from demist.data import load
from demist.data.images import decode
from demist.data.report import Report


def test_heic_that_nothing_reads_is_counted_with_the_extra():
    said = Report(count=3, what="images", unread={".heic": 40, ".svg": 1}).paragraph()
    assert said == (
        "3 images. Not looked at: 40 .heic (read after: pip install 'demist[heic]'), 1 .svg."
    )


def test_the_plug_in_is_registered_where_it_is_installed(monkeypatch):
    known, called = decode.formats(), []
    plug_in = SimpleNamespace(register_heif_opener=lambda: called.append(1))
    monkeypatch.setitem(sys.modules, "pillow_heif", plug_in)
    assert decode.formats.__wrapped__() == known
    assert called == [1]


def test_heic(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    files = {f"{i}.heic": encoded(Image.new("RGB", (64, 48), "red"), "heif") for i in range(2)}
    assert load(str(write(tmp_path / "set", files)), size=8).x.shape == (2, 3, 8, 8)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif(tmp_path):
    files = {f"{i}.avif": encoded(Image.new("RGB", (64, 48), "red"), "avif") for i in range(2)}
    data = load(str(write(tmp_path / "set", files | {"a.png": png("red")})), size=8)
    assert data.x.shape == (3, 3, 8, 8)
    assert data.report.unread == {}
