"""Downloads against a server on this machine that can break off, refuse ranges, or fail."""

import errno
import hashlib
import http.server
import io
import re
import tarfile
import threading
import zipfile

import pytest

from hybridasr.corpus import download
from hybridasr.corpus.download import ADDRESSES, CorpusAddress, download_corpus
from hybridasr.corpus.readers import READERS
from hybridasr.errors import UserError

pytest.importorskip("pooch")


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`; the next answer is cut after `server.cut` bytes if that is set."""

    def do_GET(self):
        server = self.server
        server.seen.append(dict(self.headers))
        data = server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", server.etag) == server.etag
        if wanted and server.ranges and same:
            start = int(wanted[1])
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", server.etag)
        self.end_headers()
        body = data[start:]
        if server.cut is not None:
            body, server.cut = body[:server.cut], None
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.files, httpd.seen, httpd.cut, httpd.ranges, httpd.etag = {}, [], None, True, '"one"'
    httpd.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def noise(size, seed=b"x"):
    return b"".join(hashlib.sha256(seed + bytes([n % 256, n // 256])).digest()
                    for n in range(size // 32 + 1))[:size]


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)
    return stream.getvalue()


DIGITS = {"fsdd-1a2b/README.md": b"hello", "fsdd-1a2b/recordings/0_ann_0.wav": noise(300_000),
          "fsdd-1a2b/recordings/0_ben_0.wav": b"", "fsdd-1a2b/acquire/x.py": b"no"}


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


WANTED = {"README.md": b"hello", "recordings/0_ann_0.wav": noise(300_000),
          "recordings/0_ben_0.wav": b""}


def source(server, data, name="/a.zip", keep="recordings", **more):
    server.files[name] = data
    return CorpusAddress(server.url + name, keep, **more)


def test_download_unpack_and_read(server, tmp_path):
    target = tmp_path / "deep" / "digits"
    where = source(server, zipped(DIGITS))
    assert download_corpus("digits", target, where) == target
    assert contents(target) == WANTED
    assert [p.name for p in target.parent.iterdir()] == ["digits"]
    assert set(READERS["digits"].read(target)) == {"train", "test"}
    download_corpus("digits", target, where)
    assert len(server.seen) == 1  # what is there is not fetched again


def test_broken_connection_is_resumed(server, tmp_path):
    data = zipped(DIGITS)
    where = source(server, data, sha256=hashlib.sha256(data).hexdigest())
    server.cut = 200_000
    target = tmp_path / "digits"
    with pytest.raises(UserError, match=r"connection broke .* after \d+ bytes; run the same"):
        download_corpus("digits", target, where)
    assert not target.exists()
    part = tmp_path / "digits.zip.part"
    kept = part.stat().st_size
    assert 100_000 < kept <= 200_000
    assert part.read_bytes() == data[:kept]
    download_corpus("digits", target, where)
    assert "Range" not in server.seen[0]
    assert server.seen[1]["Range"] == f"bytes={kept}-"
    assert server.seen[1]["If-Range"] == '"one"'
    assert contents(target) == WANTED
    assert [p.name for p in tmp_path.iterdir()] == ["digits"]


def test_server_without_ranges_begins_anew(server, tmp_path):
    # The checksum, since zip files bear rubbish in front of them.
    data = zipped(DIGITS)
    where = source(server, data, sha256=hashlib.sha256(data).hexdigest())
    server.cut, server.ranges = 200_000, False
    with pytest.raises(UserError, match="connection broke"):
        download_corpus("digits", tmp_path / "digits", where)
    download_corpus("digits", tmp_path / "digits", where)
    assert "Range" in server.seen[1]
    assert contents(tmp_path / "digits") == WANTED


def test_short_answer_without_an_error_is_noticed(server, tmp_path, monkeypatch):
    # As with urllib3 1.x, which does not compare what came with Content-Length.
    monkeypatch.setattr(download, "_copy", lambda chunks, file, *more: file.write(b"PK"))
    with pytest.raises(UserError, match=r"2 of \d+ bytes came"):
        download_corpus("digits", tmp_path / "digits", source(server, zipped(DIGITS)))
    assert not (tmp_path / "digits").exists()


def test_changed_file_is_not_glued_to_the_part(server, tmp_path):
    where = source(server, zipped({"old/recordings/0_ann_0.wav": noise(400_000, b"old")}))
    server.cut = 200_000
    with pytest.raises(UserError, match="connection broke"):
        download_corpus("digits", tmp_path / "digits", where)
    server.etag = '"two"'
    source(server, zipped(DIGITS))
    download_corpus("digits", tmp_path / "digits", where)
    assert contents(tmp_path / "digits") == WANTED


def test_complete_part_needs_no_byte(server, tmp_path):
    data = zipped(DIGITS)
    where = source(server, data)
    (tmp_path / "digits.zip.part").write_bytes(data)
    (tmp_path / "digits.zip.part.json").write_text('{"version": "\\"one\\""}')
    download_corpus("digits", tmp_path / "digits", where)
    assert server.seen[0]["Range"] == f"bytes={len(data)}-"
    assert contents(tmp_path / "digits") == WANTED
    assert [p.name for p in tmp_path.iterdir()] == ["digits"]


def test_not_found(server, tmp_path):
    with pytest.raises(UserError, match="answers 404.*github.com/Jakobovski.*--corpus"):
        download_corpus("digits", tmp_path / "d", CorpusAddress(server.url + "/none.zip"))
    assert list(tmp_path.iterdir()) == []


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(UserError, match="cannot reach 127.0.0.1; check the network"):
        download_corpus("digits", tmp_path / "d", CorpusAddress("http://127.0.0.1:9/a.zip"))


def test_wrong_checksum(server, tmp_path):
    where = source(server, zipped(DIGITS), sha256="0" * 64)
    with pytest.raises(UserError, match="SHA-256 is not 0000.*run the same command again"):
        download_corpus("digits", tmp_path / "d", where)
    assert not (tmp_path / "d").exists()
    assert not (tmp_path / "d.zip").exists()


def test_full_disk(server, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_copy", full)
    with pytest.raises(UserError, match="no space left on the disk"):
        download_corpus("digits", tmp_path / "d", source(server, zipped(DIGITS)))


@pytest.mark.parametrize("name", ["../evil.wav", "top/../../evil.wav", "/tmp/evil.wav"])
def test_archive_that_points_outside(server, tmp_path, name):
    where = source(server, zipped({"top/recordings/0_ann_0.wav": b"", name: b"evil"}))
    with pytest.raises(UserError, match="points outside"):
        download_corpus("digits", tmp_path / "in" / "d", where)
    assert not list(tmp_path.rglob("evil*"))
    assert not (tmp_path / "in" / "d").exists()


def test_links_in_a_tar_are_not_made(server, tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as bundle:
        link = tarfile.TarInfo("waves_yesno/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        bundle.addfile(link)
        file = tarfile.TarInfo("waves_yesno/0_1.wav")
        file.size = 3
        bundle.addfile(file, io.BytesIO(b"abc"))
    where = source(server, stream.getvalue(), "/w.tar.gz", keep="")
    assert contents(download_corpus("yesno", tmp_path / "d", where)) == {"0_1.wav": b"abc"}


@pytest.mark.parametrize(("name", "data"), [
    ("/a.zip", b"this is no archive"), ("/a.tar.gz", b"this is no archive"),
    ("/b.tar.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03cut"),
])
def test_damaged_archive(server, tmp_path, name, data):
    with pytest.raises(UserError, match="damaged archive.*run the same command again"):
        download_corpus("yesno", tmp_path / "d", source(server, data, name, keep=""))
    assert list(tmp_path.iterdir()) == []


def test_archive_without_the_expected_folder(server, tmp_path):
    where = source(server, zipped({"top/other/a.wav": b""}))
    with pytest.raises(UserError, match="no folder 'recordings' in it"):
        download_corpus("digits", tmp_path / "d", where)
    assert not (tmp_path / "d").exists()


def test_unknown_corpus(tmp_path):
    with pytest.raises(UserError, match="corpus 'folder' cannot be downloaded, only digits"):
        download_corpus("folder", tmp_path / "d")


def test_every_public_reader_has_a_source():
    assert set(ADDRESSES) == {name for name, reader in READERS.items()
                              if reader.address and not reader.by_hand}
