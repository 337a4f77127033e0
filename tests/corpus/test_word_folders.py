"""Folders of words by synthetic speakers: layout, sameness, resuming, what is refused."""

import pytest
import soundfile

from hybridasr.cli import main
from hybridasr.corpus.readers import ReaderOptions, detect_reader
from hybridasr.corpus.word_folders import (
    MOST_SPEAKERS,
    WordFolderOptions,
    folder_name,
    spread_speakers,
    synthesize_folders,
)
from hybridasr.errors import UserError
from hybridasr.parallel import executor

pytest.importorskip("espeakng_loader")
pytest.importorskip("pypinyin")

SMALL = WordFolderOptions(speakers=3, repetitions=2)
TEXTS = ["打开空调", "turn on"]


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.flac")}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "recordings"
    return folder, synthesize_folders(folder, TEXTS, SMALL)


def test_the_layout_is_that_of_own_recordings(made):
    folder, paths = made
    assert [str(path.relative_to(folder)) for path in paths[:3]] == [
        "打开空调/syn01-1.flac", "打开空调/syn01-2.flac", "打开空调/syn11-1.flac"]
    assert len(paths) == 12
    assert soundfile.info(paths[-1]).samplerate == 16000
    reader = detect_reader(folder)
    assert reader.name == "folder"
    sets = reader.read(folder, ReaderOptions())
    # The last sixth of the speakers, and one at least, is for the test.
    assert {u.speaker for u in sets["test"]} == {"syn22"}
    assert {u.words for u in sets["train"]} == {("打开空调",), ("turn", "on")}


def test_files_do_not_depend_on_jobs_or_on_other_texts(made, tmp_path):
    with executor(2) as pool:
        synthesize_folders(tmp_path / "again", TEXTS, SMALL, pool)
    assert contents(tmp_path / "again") == contents(made[0])
    synthesize_folders(tmp_path / "one", TEXTS[1:], SMALL)
    whole = contents(made[0])
    assert contents(tmp_path / "one") == {name: whole[name] for name in whole if "turn" in name}
    assert len(set(whole.values())) == len(whole)


def test_what_is_there_is_kept_and_what_is_missing_is_made(made, tmp_path):
    folder = tmp_path / "part"
    paths = synthesize_folders(folder, TEXTS, SMALL)
    paths[0].unlink()
    paths[1].write_bytes(b"mine")
    synthesize_folders(folder, TEXTS, SMALL)
    assert paths[0].read_bytes() == made[1][0].read_bytes()
    assert paths[1].read_bytes() == b"mine"


@pytest.mark.parametrize(("texts", "options"), [
    (["打开空调"], SMALL), (TEXTS, WordFolderOptions(speakers=2))])
def test_other_texts_or_options_want_another_folder(made, texts, options):
    with pytest.raises(UserError, match="give a new or empty folder"):
        synthesize_folders(made[0], texts, options)


@pytest.mark.parametrize("texts", [[], ["turn on", "turn  on"]])
def test_each_text_has_a_folder(texts, tmp_path):
    with pytest.raises(UserError, match="each one once"):
        synthesize_folders(tmp_path, texts)


@pytest.mark.parametrize("text", ["", "_on", ".", "on/off"])
def test_names_that_are_no_folders(text):
    with pytest.raises(UserError, match="cannot name a folder"):
        folder_name(text)


def test_speakers_are_spread_and_none_comes_twice():
    for number in (2, 8, MOST_SPEAKERS):
        names = [speaker.name for speaker in spread_speakers(number)]
        assert len(set(names)) == number
        assert (names[0], names[-1]) == ("syn01", "syn22")


@pytest.mark.parametrize(("field", "value"), [
    ("speakers", 1), ("speakers", MOST_SPEAKERS + 1), ("repetitions", 0), ("max_snr", 1.0),
    ("seed", -1)])
def test_bad_options_are_named(field, value):
    with pytest.raises(UserError, match=field):
        WordFolderOptions(**{field: value})


def test_the_verb_makes_them(tmp_path, capsys):
    (tmp_path / "commands.txt").write_text("开灯\n关灯\n", encoding="utf-8")
    call = ["synthesize-words", "--speakers", "2", "--repetitions", "1",
            str(tmp_path / "commands.txt"), str(tmp_path / "out")]
    assert main(call) == 0
    assert sorted(contents(tmp_path / "out")) == [
        f"{word}/{speaker}-1.flac" for word in ("关灯", "开灯") for speaker in ("syn01", "syn22")]
    (tmp_path / "commands.txt").write_text("关窗\n", encoding="utf-8")
    assert main(call) == 1
    assert "give a new or empty folder" in capsys.readouterr().err
