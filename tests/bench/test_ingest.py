"""The ingest bench: that it measures what it says. Nothing here looks at a clock."""

import json
import os
import sys

import pytest

from fer_lib import paths
from fer_lib.data import drawn_affectnet

sys.path.insert(0, str(paths.ROOT / "bench"))
import ingest  # noqa: E402, I001
import measure  # noqa: E402


@pytest.mark.parametrize("layout", ["older", "newer"])
@pytest.mark.parametrize("colour", [False, True])
def test_both_readers_read_the_same_faces(tmp_path, monkeypatch, layout, colour):
    drawn_affectnet.write(tmp_path / layout, layout, 14, 7, traps=("no header",))
    monkeypatch.setattr(measure, "apart", lambda function, *arguments: function(*arguments))
    found = ingest.layout_figures(tmp_path / layout, paths.CACHE, 48, colour, 2)
    assert found["rows"] == 21 and found["times_plain"]["n"] == 2
    assert found["images_per_s"]["min"] > 0 and found["peak_mb"]["min"] > 10
    monkeypatch.setattr(ingest, "ours", lambda *_: 20)
    with pytest.raises(RuntimeError, match="found 21 and 20 faces, expected the same"):
        ingest.layout_figures(tmp_path / layout, paths.CACHE, 48, colour, 1)


def test_what_was_measured_is_printed_and_kept(tmp_path, monkeypatch, capsys):
    figures = {name: measure.spread([1.8, 1.6]) for name in ("plain_images_per_s", "images_per_s", "plain_peak_mb")}
    figures |= {"rows": 21, "times_plain": measure.spread([1.7, 1.6]), "peak_mb": measure.spread([100.0, 1999.0])}
    monkeypatch.setattr(drawn_affectnet, "write", lambda *_, **__: None)
    monkeypatch.setattr(ingest, "layout_figures", lambda *_: figures)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    assert ingest.main(["--pictures", "100", "--turns", "1"]) == 0
    kept = json.loads((tmp_path / "results" / "local" / "ingest.json").read_text())
    printed = capsys.readouterr().out
    assert ingest.table(kept) in printed and len(kept["layouts"]) == 4
    assert "| 1.65 | 1.6 | 1.7 | 1.7: missed |" in printed and "| 100 | 1999 | under 2000: met |" in printed

    def fails(*_):
        raise RuntimeError("no room")

    monkeypatch.setattr(ingest, "layout_figures", fails)
    assert ingest.main([]) == 1 and "error: no room" in capsys.readouterr().err
