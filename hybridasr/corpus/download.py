"""Owns ``--download``: fetches a public corpus into a folder, resuming where it broke off.

pooch compares the checksum and puts the archive in place; what it cannot do, going on with half
a file (HTTP Range), is the small downloader here that it calls. The part so far and the version
it belongs to lie beside the destination until the archive is complete. GitHub makes its archives
on the fly and does not serve ranges: these begin anew after a break.
"""

import gzip
import lzma
import os
import shutil
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from tqdm import tqdm

from hybridasr.corpus.readers import READERS
from hybridasr.errors import DamagedFile, UserError
from hybridasr.progress import logger, progress
from hybridasr.storage import read_json, write_error, write_json

_CHUNK = 1 << 16  # bytes
_TIMEOUT = (20, 60)  # seconds to connect, and of silence
# An archive of recordings is packed to a half, of silence to a twentieth: more is a trap.
_SMALL, _MOST_PACKED = 256 << 20, 20
_LONGEST_NAME = 1000
_BY_HAND = "fetch it by hand and pass its folder with --corpus"


@dataclass(frozen=True)
class CorpusAddress:
    """One archive: where it is, and what of it is needed."""

    url: str
    keep: str = ""  # folder inside the archive's top folder; empty = everything
    sha256: str | None = None  # None: GitHub's archives differ in bytes from time to time


ADDRESSES: dict[str, CorpusAddress] = {
    "dsp20": CorpusAddress("https://github.com/zhongyuchen/DSPSpeech-20/archive/HEAD.zip",
                           "speech_data"),
    "digits": CorpusAddress("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/HEAD.zip",
                     "recordings"),
    "words_zh": CorpusAddress("https://github.com/hugolpz/audio-cmn/archive/HEAD.zip", "64k"),
    "yesno": CorpusAddress("http://www.openslr.org/resources/1/waves_yesno.tar.gz", sha256=(
        "c3f49e0cca421f96b75b41640749167b52118f232498667ca7a5f9416aef8e73")),
}


def download_corpus(name: str, destination: str | Path,
                    source: CorpusAddress | None = None) -> Path:
    """Fetch and unpack the corpus of reader `name`; return `destination`, ready for the reader.

    `destination` appears complete or not at all. If it is there already, nothing is done. After
    a break the next call goes on where the server allows it.

    Parameters
    ----------
    name : str
        Name of a reader of a public corpus.
    destination : path
        The folder to make.
    source : Source, optional
        Another place to fetch it from (a mirror).

    Raises
    ------
    UserError
        if there is no such corpus, no network, the server lacks the file, the disk is
        full, or the archive is cut off, damaged or not the expected one.
    """
    destination = Path(destination)
    if source is None and name not in ADDRESSES:
        raise UserError(f"corpus '{name}' cannot be downloaded, only "
                        f"{', '.join(sorted(ADDRESSES))}; pass its folder with --corpus")
    source = source or ADDRESSES[name]
    if destination.is_dir() and any(destination.iterdir()):
        return destination
    archive = destination.parent / (destination.name + _suffix(source.url))
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        _fetch(source, archive, READERS[name].address if name in READERS else source.url)
        _unpack(archive, destination, source.keep)
        archive.unlink()
    except OSError as error:
        raise write_error(error, error.filename or destination) from error
    return destination


def _fetch(source: CorpusAddress, archive: Path, address: str) -> None:
    try:
        import pooch
        import requests
    except ImportError as error:
        raise UserError(f"'{error.name}' is not installed, and --download needs it; "
                        "pip install 'hybridasr[download]'") from None
    part = archive.with_name(archive.name + ".part")

    def downloader(url: str, output: str, _pooch: object) -> None:
        _fetch_part(url, part)
        os.replace(part, output)

    pooch.get_logger().setLevel("ERROR")  # its advice is for programmers
    host = urlsplit(source.url).hostname
    try:
        pooch.retrieve(source.url, source.sha256 and f"sha256:{source.sha256}", archive.name,
                       archive.parent, downloader=downloader)
    except requests.HTTPError as error:
        code = error.response.status_code
        raise UserError(f"{host} answers {code} {error.response.reason}; try later, or look at "
                        f"{address}, {_BY_HAND}", source.url) from None
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError,
            requests.ReadTimeout) as error:
        raise _broken(source.url, part, type(error).__name__) from None
    except (requests.ConnectionError, requests.Timeout) as error:
        # requests reports a connection that dies in the body as a ConnectionError too.
        if part.exists() and "Read timed out" in str(error):
            raise _broken(source.url, part, "ReadTimeout") from None
        raise UserError(f"cannot reach {host}; check the network (behind a proxy set "
                        f"HTTPS_PROXY), or {_BY_HAND} ({address})", source.url) from None
    except requests.RequestException as error:
        raise UserError(f"cannot be fetched ({error}); {_BY_HAND} ({address})",
                        source.url) from None
    except ValueError as error:
        if "hash" not in str(error):
            raise
        raise UserError(f"the archive's SHA-256 is not {source.sha256}: damaged on the way or "
                        "changed at its source; run the same command again, or "
                        f"{_BY_HAND} ({address})", source.url) from None


def _fetch_part(url: str, part: Path) -> None:
    """Bring `part` to its full length, from where it ends now if the server allows it."""
    import requests

    version_file = part.with_name(part.name + ".json")
    done = part.stat().st_size if part.exists() and version_file.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
        version = read_json(version_file).get("version")
        if version:  # another version of the file must not be glued to this part
            headers["If-Range"] = version
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
        if response.status_code == 416:  # nothing after what we have: complete, or another file
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            version_file.unlink()
            if total == str(done):
                return
            part.unlink()
            raise _broken(url, part, "the file has changed at its source")
        response.raise_for_status()
        if done and response.status_code != 206:
            logger.info("%s: the server does not resume; from the beginning", url)
            done = 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        if not done:
            validator = response.headers.get("ETag", "")
            if not validator or validator.startswith("W/"):  # weak ones are no good for ranges
                validator = response.headers.get("Last-Modified", "")
            write_json(version_file, {"url": url, "version": validator})
        with open(part, "ab" if done else "wb") as file:
            _copy(response.iter_content(_CHUNK), file, done, total, part.stem)
    if total is not None and part.stat().st_size != total:
        raise _broken(url, part, f"{part.stat().st_size} of {total} bytes came")
    version_file.unlink()


def _copy(chunks: Iterator[bytes], file: IO[bytes], done: int, total: int | None, name: str
          ) -> None:
    with tqdm(desc=name, initial=done, total=total, unit="B", unit_scale=True, file=sys.stderr,
              disable=not sys.stderr.isatty(), leave=False, dynamic_ncols=True) as bar:
        for chunk in chunks:
            file.write(chunk)
            bar.update(len(chunk))


def _broken(url: str, part: Path, reason: str) -> UserError:
    have = part.stat().st_size if part.exists() else 0
    return UserError(f"the connection broke ({reason}) after {have} bytes; run the same command "
                     "again, it goes on from there if the server allows it", url)


def _unpack(archive: Path, destination: Path, keep: str) -> None:
    """Unpack into a temporary folder, drop the single top folder, rename to `destination`."""
    temporary = destination.with_name(f".{destination.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        left = max(_SMALL, _MOST_PACKED * archive.stat().st_size)
        opener = _zip_members if archive.suffix == ".zip" else _tar_members
        for name, stream in progress(opener(archive), desc=f"unpack {archive.name}", unit="file"):
            inside = _inside(name, archive)
            # The top folder of GitHub's archives has the commit in its name.
            below = inside.relative_to(inside.parts[0]) if len(inside.parts) > 1 else inside
            if keep and len(below.parts) > 1 and not below.is_relative_to(keep):
                continue
            target = temporary / below
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as file:
                left -= _copy_member(stream, file, left, archive)
        if not temporary.is_dir() or (keep and not (temporary / keep).is_dir()):
            raise UserError(f"no folder '{keep}' in it: the corpus has changed at its source; "
                            f"{_BY_HAND}", archive)
        if destination.is_dir():
            destination.rmdir()  # empty, or download_corpus would not have come here
        os.replace(temporary, destination)
    except FileExistsError as error:
        raise DamagedFile(f"holds '{Path(str(error.filename)).name}' twice; {_BY_HAND}",
                          archive) from None
    # RuntimeError: encrypted; NotImplementedError: packed in a way that Python does not know.
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError,
            lzma.LZMAError, RuntimeError, ValueError, struct.error) as error:
        archive.unlink()
        reason = str(error).split(":\n")[0]
        raise DamagedFile(f"damaged archive ({reason}), removed; run the same command again",
                        archive) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _copy_member(stream: IO[bytes], file: IO[bytes], left: int, archive: Path) -> int:
    """Copy a member; return its size in bytes; `DamagedFile` if that is above `left`."""
    size = 0
    while block := stream.read(_CHUNK):
        size += len(block)
        if size > left:
            raise DamagedFile("unpacks to an absurd size; do not trust this archive, or unpack it "
                              "yourself and pass its folder with --corpus", archive)
        file.write(block)
    return size


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as bundle:
        for member in bundle.infolist():
            if not member.is_dir():
                with bundle.open(member) as stream:
                    yield member.filename, stream


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive) as bundle:
        for member in bundle:
            stream = bundle.extractfile(member) if member.isfile() else None  # no links, devices
            if stream is not None:
                yield member.name, stream


def _inside(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or "\0" in name or len(name) > _LONGEST_NAME:
        raise DamagedFile(f"{name[:40]!r} in it is no name of a file; do not trust this archive",
                          archive)
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise DamagedFile(f"'{name}' in it points outside; do not trust this archive", archive)
    return path


def _suffix(url: str) -> str:
    return next((s for s in (".tar.gz", ".tgz", ".tar", ".zip") if urlsplit(url).path.endswith(s)),
                ".zip")
