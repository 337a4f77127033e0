"""What the end of a training leaves in a directory, and what of an earlier run it removes."""

import numpy as np

from hybridasr.features.archives import read_ark, read_scp
from hybridasr.model.alignments import write_transforms


def test_transforms_are_written_or_removed(tmp_path):
    write_transforms(tmp_path, {})
    assert list(tmp_path.iterdir()) == []
    speakers = {name: np.full((2, 3), number, np.float64) for number, name in enumerate("ba")}
    write_transforms(tmp_path, speakers)
    found = dict(read_ark(tmp_path / "trans.ark"))
    assert list(found) == ["a", "b"]
    index = read_scp(tmp_path / "trans.scp")
    for name, matrix in speakers.items():
        np.testing.assert_array_equal(found[name], matrix)
        np.testing.assert_array_equal(index[name], matrix)
    write_transforms(tmp_path, {})
    assert list(tmp_path.iterdir()) == []
