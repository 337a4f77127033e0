"""Small files made the program take gigabytes: limits come before memory."""

import gzip
import tarfile
import zipfile

import numpy as np
import pytest

from hybridasr.corpus.download import _unpack
from hybridasr.errors import DamagedFile, UserError
from hybridasr.features.archives import read_ark
from hybridasr.nnet.network_text import read_network
from hybridasr.storage import read_arrays


def test_a_packed_bundle_of_zeros(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(30_000_000, np.int32))
    assert (tmp_path / "a.npz").stat().st_size < 200_000
    with pytest.raises(DamagedFile, match="unpacks to more than 64 MB"):
        read_arrays(tmp_path / "a.npz")


def test_a_bundle_whose_header_promises_more_than_it_holds(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.zeros(10))
    data = (tmp_path / "a.npz").read_bytes().replace(b"(10,), }         ", b"(9999999999999,),}")
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(DamagedFile, match="a.npz"):
        read_arrays(tmp_path / "a.npz")


def test_a_packed_bundle_of_a_usual_size_is_read(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(1000))
    assert read_arrays(tmp_path / "a.npz")["a"].tolist() == list(range(1000))


@pytest.mark.parametrize("line", ["affine dim=60000", "lstm cell=60000", "gru cell=60000",
                                  "conv channels=60000", "splice offsets=-5:999999999",
                                  "tdnn dim=10 offsets=0,123456"])
def test_a_text_of_a_network_too_large_for_any_machine(line):
    with pytest.raises(UserError, match="network:1: .* give"):
        read_network(f"{line}\noutput\n", 40, 10)


def test_an_archive_of_features_that_unpacks_to_an_absurd_size(tmp_path):
    (tmp_path / "a.ark.gz").write_bytes(gzip.compress(bytes(80 << 20)))
    with pytest.raises(DamagedFile, match="unpacks to more than 64 MB"):
        list(read_ark(tmp_path / "a.ark.gz"))


@pytest.mark.parametrize("data", [gzip.compress(b"a " * 5000, mtime=0)[:-9],
                                  b"\x1f\x8b\x08 not gzip",
                                  gzip.compress(b"a " * 5000, mtime=0)[:20] + b"\xff" * 40],
                         ids=["cut short", "another file", "damaged inside"])
def test_a_damaged_packed_archive(tmp_path, data):
    (tmp_path / "a.ark.gz").write_bytes(data)
    with pytest.raises(DamagedFile, match="a.ark.gz: cannot be unpacked"):
        list(read_ark(tmp_path / "a.ark.gz"))


def make_zip(path, names, size=10):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in names:
            bundle.writestr(name, bytes(size))


def test_a_corpus_that_unpacks_to_an_absurd_size(tmp_path, monkeypatch):
    monkeypatch.setattr("hybridasr.corpus.download._SMALL", 1 << 20)
    make_zip(tmp_path / "c.zip", ["top/a.wav"], 5 << 20)
    with pytest.raises(DamagedFile, match="absurd size"):
        _unpack(tmp_path / "c.zip", tmp_path / "corpus", "")
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("name", ["../a.wav", "/a.wav", "top/../../a.wav", "c:/a.wav", ".",
                                  "top/" + "a" * 2000])
def test_oddly_named_members_of_a_corpus(tmp_path, name):
    make_zip(tmp_path / "c.zip", ["top/b.wav", name])
    with pytest.raises(DamagedFile, match="do not trust"):
        _unpack(tmp_path / "c.zip", tmp_path / "corpus", "")


def test_an_encrypted_corpus(tmp_path):
    make_zip(tmp_path / "c.zip", ["top/a.wav"])
    data = bytearray((tmp_path / "c.zip").read_bytes())
    data[6] |= 1  # the flag of encryption, in the header of the member and in the directory
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "c.zip").write_bytes(data)
    with pytest.raises(DamagedFile, match="encrypted"):
        _unpack(tmp_path / "c.zip", tmp_path / "corpus", "")


def test_links_in_a_corpus_are_not_made(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with tarfile.open(tmp_path / "c.tar", "w") as bundle:
        bundle.add(tmp_path / "a.wav", "top/a.wav")
        link = tarfile.TarInfo("top/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        bundle.addfile(link)
    _unpack(tmp_path / "c.tar", tmp_path / "corpus", "")
    assert [path.name for path in (tmp_path / "corpus").iterdir()] == ["a.wav"]
