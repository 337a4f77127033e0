"""Raw audio: every encoding, what is refused, where it may come from."""

import io

import numpy as np
import pytest

from hybridasr.corpus.raw_audio import ENCODINGS, RawFormat, read_raw
from hybridasr.errors import UserError

VALUES = np.array([[0, -32768], [16384, -16384], [256, 512]], np.float64)


def encoded(encoding):
    """The bytes of VALUES."""
    if encoding.startswith("f"):
        return (VALUES / 32768).astype(encoding.replace("f32le", "<f4").replace("f64le", "<f8"))
    bits = int("".join(filter(str.isdigit, encoding)))
    whole = (VALUES * 2.0 ** (bits - 16)).astype(np.int64) + (128 if encoding == "u8" else 0)
    order = "big" if encoding.endswith("be") else "little"
    return b"".join(int(value).to_bytes(bits // 8, order, signed=encoding != "u8")
                    for value in whole.reshape(-1))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding(encoding):
    form = RawFormat.of(f"{encoding}:16000:2")
    contents = bytes(encoded(encoding))
    assert len(contents) == 3 * form.bytes
    found = form.decode(contents)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, VALUES)
    assert form.decode(b"").shape == (0, 2)


@pytest.mark.parametrize(("text", "line"), [
    ("s16le", "give ENCODING:RATE:CHANNELS"), ("s16le:x", "give ENCODING"),
    ("s16le:1:2:3", "give ENCODING"), ("s17le:16000", "encoding 's17le'; give one of u8, s8"),
    ("s16le:16", "raw audio of 16 Hz"), ("s16le:16000:0", "of 0 channels; give 1 to 64")])
def test_forms_that_are_none(text, line):
    with pytest.raises(UserError, match=line):
        RawFormat.of(text)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_floats_that_are_no_samples(value):
    contents = np.array([0, 0, value, 0], np.float32).tobytes()
    with pytest.raises(UserError, match="sample 1 of the raw audio is"):
        RawFormat.of("f32le:16000:2").decode(contents)


def test_sources(tmp_path, caplog):
    form, path = RawFormat.of("s16le:8000"), tmp_path / "a.raw"
    contents = np.array([1, -2, 3], "<i2").tobytes()
    path.write_bytes(contents + b"x")
    for source in (contents, bytearray(contents), io.BytesIO(contents), path, str(path)):
        np.testing.assert_array_equal(read_raw(source, form), [[1], [-2], [3]])
    assert "ends within a sample; its last 1 bytes are left out" in caplog.text
    path.write_bytes(b"")
    for source, line in ((path, "has no samples"), (tmp_path / "no.raw", "no such recording"),
                         (tmp_path, "directory"), (np.zeros(3), "samples in an array have a rate")):
        with pytest.raises(UserError, match=line):
            read_raw(source, form)
