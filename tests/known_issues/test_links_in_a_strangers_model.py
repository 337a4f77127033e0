"""`quantize` copied what the links of a stranger's model directory point to."""

from hybridasr.model.directory import copy_beside, copy_lang


def test_links_that_lead_out_are_not_followed(tmp_path):
    (tmp_path / "secret").write_text("key", encoding="utf-8")
    model = tmp_path / "model"
    for folder in ("lang", "graph"):
        (model / folder).mkdir(parents=True)
        (model / folder / "words.txt").write_text("a 1\n", encoding="utf-8")
        (model / folder / "link.txt").symlink_to(tmp_path / "secret")
        (model / folder / "inside.txt").symlink_to("words.txt")
    (model / "confidence.json").symlink_to(tmp_path / "secret")
    copy_beside(model, tmp_path / "copy")
    copy_lang(model / "lang", tmp_path / "copy/lang")
    copies = sorted(str(path.relative_to(tmp_path / "copy"))
                    for path in (tmp_path / "copy").rglob("*") if path.is_file())
    assert copies == ["graph/inside.txt", "graph/words.txt", "lang/inside.txt", "lang/words.txt"]
