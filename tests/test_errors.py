"""The kinds of errors: what each is, and that a worker process hands them on whole."""

import errno
import pickle

import pytest

from hybridasr.errors import DamagedFile, NotEnoughData, ResourceError, UserError
from hybridasr.storage import read_arrays, read_json, read_text, write_error


@pytest.mark.parametrize("kind", [UserError, NotEnoughData, DamagedFile, ResourceError])
def test_a_pickled_error_keeps_kind_line_and_place(kind):
    error = kind("is wrong; mend it", "a.txt", 3)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == "a.txt:3: is wrong; mend it"
    assert (copy.path, copy.line) == ("a.txt", 3)


def test_context_keeps_the_kind():
    error = ResourceError("no space", "disk").within("utterance 'u1'")
    assert type(error) is ResourceError
    assert str(error) == "utterance 'u1': disk: no space"


@pytest.mark.parametrize(("number", "words"), [
    (errno.ENOSPC, "no space left on the disk"), (errno.EDQUOT, "no space left on the disk"),
    (errno.EFBIG, "ulimit -f"), (errno.EMFILE, "smaller --nj"), (errno.EIO, "the disk fails")])
def test_what_the_machine_lacks_is_a_resource_error(number, words):
    error = write_error(OSError(number, "what the system says"), "out.ark")
    assert type(error) is ResourceError
    assert str(error).startswith("out.ark: ")
    assert words in str(error)


def test_a_short_write_is_a_full_disk():
    error = write_error(OSError("10 requested and 3 written"), "out.npz")
    assert type(error) is ResourceError


def test_a_path_that_cannot_be_written_is_not_a_resource_error():
    assert type(write_error(OSError(errno.EACCES, "Permission denied"), "out")) is UserError


@pytest.mark.parametrize(("read", "data"), [
    (read_json, b"{"), (read_json, b"[" * 100_000), (read_json, b"1" * 5000),
    (read_text, b"\xff\xfe"), (read_arrays, b"PK\3\4 not a zip file"), (read_arrays, b"")])
def test_damaged_files_are_told_as_such(tmp_path, read, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(DamagedFile, match="file"):
        read(path)
