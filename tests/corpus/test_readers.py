"""Readers on small copies of each layout (empty files: readers look at names only)."""

import pytest

from hybridasr.corpus.readers import (
    READERS,
    ReaderOptions,
    detect_reader,
    find_reader,
    missing_corpus_message,
)
from hybridasr.errors import UserError


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def ids(sets):
    return {name: [u.utterance for u in utterances] for name, utterances in sets.items()}


def words(utterances):
    return [" ".join(u.words) for u in utterances]


def check_sets(sets):
    """What every reader owes: unique ids, sorted, speaker first, no speaker in two sets."""
    names = [u.utterance for utterances in sets.values() for u in utterances]
    assert len(set(names)) == len(names)
    for utterances in sets.values():
        order = [u.utterance.encode() for u in utterances]
        assert order == sorted(order)
        # Kaldi sorts utt2spk by either column: both orders must agree.
        pairs = [(u.speaker.encode(), u.utterance.encode()) for u in utterances]
        assert pairs == sorted(pairs)
        assert all(u.utterance.startswith(u.speaker) for u in utterances)
        assert all(u.utterance.isascii() and " " not in u.utterance for u in utterances)


def test_dsp20_development_copy(tmp_path):
    make(tmp_path, *(f"speech_data/{s}/{s}-{w}-01.flac"
                     for s in ("spk01", "spk20", "spk21", "spk24") for w in ("00", "19")))
    sets = READERS["dsp20"].read(tmp_path)
    check_sets(sets)
    assert ids(sets)["test"] == ["spk21-00-01", "spk21-19-01", "spk24-00-01", "spk24-19-01"]
    assert words(sets["train"]) == ["数字", "Project"] * 2
    assert ids(READERS["dsp20"].read(tmp_path / "speech_data")) == ids(sets)
    assert detect_reader(tmp_path).name == detect_reader(tmp_path / "speech_data").name == "dsp20"


def test_dsp20_original_tests_last_sixth(tmp_path):
    speakers = [f"163071{n:02d}" for n in range(34)]
    make(tmp_path, *(f"speech_data/{s}/{s}-06-20.wav" for s in speakers))
    sets = READERS["dsp20"].read(tmp_path)
    assert [u.speaker for u in sets["test"]] == speakers[-5:]
    assert len(sets["train"]) == 29
    assert words(sets["test"][:1]) == ["北京"]


def test_dsp20_prefers_flac_of_two_forms(tmp_path):
    make(tmp_path, *(f"{s}/{s}-00-01{x}" for s in ("a", "b") for x in (".wav", ".flac")))
    sets = READERS["dsp20"].read(tmp_path)
    assert [u.wav.endswith(".flac") for u in sets["train"] + sets["test"]] == [True, True]


@pytest.mark.parametrize(("name", "message"), [
    ("speech_data/spk01/spk02-00-01.wav", "speaker 'spk02'.*folder 'spk01'"),
    ("speech_data/spk01/spk01-20-01.wav", "word 20 is outside 00..19"),
])
def test_dsp20_names_the_odd_file(tmp_path, name, message):
    make(tmp_path, name)
    with pytest.raises(UserError, match=message):
        READERS["dsp20"].read(tmp_path)


def test_digits(tmp_path, caplog):
    make(tmp_path, *(f"recordings/{d}_{s}_{n}.wav" for d in (0, 9)
                     for s in ("theo", "george", "lucas") for n in (3, 12)), "recordings/odd.wav")
    sets = READERS["digits"].read(tmp_path)
    check_sets(sets)
    assert ids(sets)["test"] == ["theo-0-03", "theo-0-12", "theo-9-03", "theo-9-12"]
    assert words(sets["test"]) == ["zero", "zero", "nine", "nine"]
    assert {u.speaker for u in sets["train"]} == {"george", "lucas"}
    assert "1 of 13 audio files left out" in caplog.text
    assert detect_reader(tmp_path).name == "digits"


def test_digits_leave_one_speaker_out(tmp_path):
    make(tmp_path, *(f"{d}_{s}_0.wav" for d in range(10) for s in ("ann", "ben", "cid")))
    read = READERS["digits"].read
    for speaker in ("ann", "ben", "cid"):
        sets = read(tmp_path, ReaderOptions(test_speaker=speaker))
        assert {u.speaker for u in sets["test"]} == {speaker}
        assert len(sets["train"]) == 20
    assert len(read(tmp_path, ReaderOptions(test_speaker="ann,ben"))["test"]) == 20
    with pytest.raises(UserError, match="'zoe' is not in the corpus; its speakers are ann, ben"):
        read(tmp_path, ReaderOptions(test_speaker="zoe"))
    with pytest.raises(UserError, match="takes all 3 speakers"):
        read(tmp_path, ReaderOptions(test_speaker="ann,ben,cid"))


def test_yesno(tmp_path):
    names = [f"{n:08b}" for n in range(60)]
    make(tmp_path, *("waves_yesno/" + "_".join(n) + ".wav" for n in names))
    sets = READERS["yesno"].read(tmp_path)
    check_sets(sets)
    assert (len(sets["train"]), len(sets["test"])) == (31, 29)
    assert sets["train"][1].words == ("NO",) * 7 + ("YES",)
    assert sets["test"][0].utterance == "yesno-" + "_".join(names[31])
    assert detect_reader(tmp_path).name == "yesno"


def test_yesno_incomplete(tmp_path):
    make(tmp_path, "waves_yesno/0_1.wav")
    with pytest.raises(UserError, match="1 recordings, but 31 are to train.*www.openslr.org/1"):
        READERS["yesno"].read(tmp_path)


def test_words_zh(tmp_path, caplog):
    # chr(0x4e00 + n) sorts as its number; position 4 is odd, and still counts.
    names = [f"cmn-{chr(0x4e00 + n)}" for n in range(400)]
    names[4] = "cmn-" + chr(0x4e04) + "_"
    make(tmp_path, *(f"64k/hsk/{name}.mp3" for name in names), "64k/syllabs/cmn-a1.mp3")
    sets = READERS["words_zh"].read(tmp_path)
    check_sets(sets)
    assert sorted(words(sets["test"])) == [chr(0x4e00 + n) for n in range(0, 400, 6)]
    assert len(sets["train"]) == 400 - 67 - 1
    assert len({u.speaker for u in sets["train"]}) == 2
    sizes = [sum(u.speaker == s for u in sets["train"]) for s in ("train00", "train01")]
    assert sizes == [166, 166]
    by_position = sorted(sets["train"], key=lambda u: u.utterance.partition("-")[2])
    assert [u.speaker for u in by_position[:4]] == ["train00", "train01"] * 2
    assert "1 of 400 files left out" in caplog.text
    assert detect_reader(tmp_path).name == "words_zh"


def test_folder_with_speakers(tmp_path):
    make(tmp_path, *(f"{command}/{speaker}-{n}.wav" for command in ("打开空调", "turn_on")
                     for speaker in ("ann", "ben", "小明") for n in (1, 2)),
         "_background_noise_/hum.wav")
    sets = READERS["folder"].read(tmp_path)
    check_sets(sets)
    assert {u.speaker for u in sets["train"]} == {"ann", "ben"}
    assert sorted(set(words(sets["test"]))) == ["turn on", "打开空调"]
    by_name = READERS["folder"].read(tmp_path, ReaderOptions(test_speaker="ben"))
    assert {u.speaker for u in by_name["test"]} == {"ben"}
    assert detect_reader(tmp_path).name == "folder"


def test_folder_without_speakers(tmp_path):
    make(tmp_path, *(f"{c}/rec_{n:03d}.wav" for c in ("开灯", "关灯") for n in range(12)))
    read = READERS["folder"].read
    sets = read(tmp_path)
    check_sets(sets)
    assert len(sets["test"]) == 4
    assert sorted(words(sets["test"])) == ["关灯", "关灯", "开灯", "开灯"]
    assert ids(read(tmp_path)) == ids(sets)
    assert ids(read(tmp_path, ReaderOptions(seed=1))) != ids(sets)
    with pytest.raises(UserError, match="the file names tell no speakers"):
        read(tmp_path, ReaderOptions(test_speaker="rec"))


def test_folder_prefix_of_one_folder_is_no_speaker(tmp_path):
    make(tmp_path, *(f"{c}/{c}-{n}.wav" for c in ("kai", "guan") for n in range(6)))
    sets = READERS["folder"].read(tmp_path)
    assert all(u.speaker == u.utterance for u in sets["train"])


def test_folder_needs_two_recordings(tmp_path):
    make(tmp_path, "开灯/1.wav", "关灯/1.wav", "关灯/2.wav")
    with pytest.raises(UserError, match="开灯: one recording only"):
        READERS["folder"].read(tmp_path)


def test_kaldi(tmp_path):
    for name, speaker in (("train", "ann"), ("test", "ben")):
        folder = tmp_path / name
        make(folder, "a.wav")
        (folder / "wav.scp").write_text(f"{speaker}-1 {folder}/a.wav\n")
        (folder / "text").write_text(f"{speaker}-1 yes no\n")
        (folder / "utt2spk").write_text(f"{speaker}-1 {speaker}\n")
        (folder / "spk2utt").write_text(f"{speaker} {speaker}-1\n")
    assert detect_reader(tmp_path).name == "kaldi"
    sets = READERS["kaldi"].read(tmp_path)
    assert ids(sets) == {"train": ["ann-1"], "test": ["ben-1"]}
    assert sets["test"][0].words == ("yes", "no")
    (tmp_path / "test" / "wav.scp").unlink()
    with pytest.raises(UserError, match="no test/wav.scp"):
        READERS["kaldi"].read(tmp_path)


@pytest.mark.parametrize("name", ["dsp20", "digits", "yesno", "words_zh", "folder", "kaldi"])
def test_missing_and_empty_folder_say_what_is_expected(tmp_path, name):
    reader = READERS[name]
    with pytest.raises(UserError, match="no such folder; expected is"):
        reader.read(tmp_path / "nowhere")
    with pytest.raises(UserError) as error:
        reader.read(tmp_path)
    assert reader.layout in str(error.value)
    assert reader.address in str(error.value)


def test_detect_lists_layouts(tmp_path):
    make(tmp_path, "notes.txt")
    with pytest.raises(UserError, match="holds no recordings .*wav.*check the path"):
        detect_reader(tmp_path)
    make(tmp_path, "loose.wav")
    with pytest.raises(UserError, match="none of the known layouts.*recordings/DIGIT_SPEAKER"):
        detect_reader(tmp_path)
    with pytest.raises(UserError, match="no corpus reader 'timit'; known are aishell, commands_zh"):
        find_reader("timit")


def test_missing_corpus_message():
    message = missing_corpus_message("digits")
    for part in ("--corpus", "--download", "https://github.com/Jakobovski", "CC BY-SA"):
        assert part in message
    assert "--download" not in missing_corpus_message("folder")


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "folder", "sizes", "speakers"), [
    ("dsp20", "dsp20", (3200, 640), (20, 4)),
    ("digits", "fsdd", (1500, 500), (3, 1)),
    ("yesno", "yesno", (31, 29), (1, 1)),
    ("words_zh", "audio-cmn", (2492, 497), (17, 3)),
])
def test_real_corpora(data_root, name, folder, sizes, speakers):
    assert detect_reader(data_root / folder).name == name
    sets = READERS[name].read(data_root / folder)
    check_sets(sets)
    assert (len(sets["train"]), len(sets["test"])) == sizes
    assert tuple(len({u.speaker for u in sets[k]}) for k in ("train", "test")) == speakers
