"""``fer`` and ``make`` as somebody types them: what is refused, in which words, before anything is computed."""

import os
import re
import subprocess
import sys

import pytest

from fer_lib import paths
from fer_lib.__main__ import SCORE, main
from fer_lib.data import Faces
from fer_lib.evaluation import prediction_files


def said(arguments: str, capsys) -> str:
    """What a command that is refused says on the standard error; its exit code is not 0."""
    try:
        assert main(arguments.split()) != 0
    except SystemExit as ended:  # argparse's
        assert ended.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("verb", ["reproduce", "plan", "runs"])
@pytest.mark.parametrize("value", ["-1", "0", "abc", "1.5", ""])
def test_seeds_and_jobs_are_whole_numbers_from_1_on(verb, value, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--seeds", value])
    assert f"argument --seeds: found {value!r}, expected a whole number, 1 or more" in capsys.readouterr().err
    if verb != "plan":
        with pytest.raises(SystemExit):
            main([verb, "--jobs", value])
        assert f"--jobs: found {value!r}, expected a whole number, 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    "verb",
    [
        "plan --only",
        "runs --only",
        "reproduce --only",
        "export x.tar --only",
        "weights --only",
        "cross x y --leave-out",
    ],
)
def test_commas_are_no_names(verb, capsys):
    with pytest.raises(SystemExit):
        main([*verb.split(), ", ,"])
    assert "found ', ,', expected names with commas between them" in capsys.readouterr().err


def test_a_misspelt_profile_is_refused_with_those_that_there_are(capsys):
    for verb in ("reproduce", "plan", "report"):
        error = said(f"{verb} --profile ful", capsys)
        assert "invalid choice: 'ful'" in error and "''" not in error
        assert all(name in error for name in paths.PROFILES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run nosuch", "no experiment is called 'nosuch', expected the name of a file in experiments/"),
        ("run table1_feedforward", "is called 'table1_feedforward', expected saravanan2019/table1_feedforward\n"),
        ("run saravanan2019/table1_feedforwad", "expected saravanan2019/table1_feedforward"),
        ("run table1_feedforward --seed -1", "argument --seed: found '-1', expected a whole number, 0 or more"),
        ("run table1_feedforward --threads 0", "argument --threads: found '0', expected a whole number, 1 or more"),
        ("reproduce --only nosuch", "ONLY: no experiment's name contains 'nosuch', expected the name of a file"),
        ("reproduce --profile full --only tabel5_adam_64", "expected saravanan2019/table5_adam_64"),
        ("plan --profile full --only nosuch", "ONLY: no experiment's name contains 'nosuch'"),
        ("weights --only vgg61", "weights: found 'vgg61', expected some of googlenet"),
        ("score none.csv", "none.csv: found no such file, expected a CSV file or a record's predictions.npz; correct"),
        ("score none.npz:best", "none.npz: found no such file, expected a CSV file or a record's predictions.npz"),
        ("score {folder}", "found a folder, expected a CSV file or a record's predictions.npz; correct the path"),
        ("score x.csv --json {folder}/none/x.json", "argument --json: found no folder"),
        ("cross none.csv fer2013", "none.csv: found no such file, expected a CSV file"),
        ("cross none.keras fer2013", "none.keras: found no such file, expected a network saved by Keras 3; correct"),
        ("import none.tar", "none.tar: found no such file, expected a tar that `.venv/bin/fer export` made; correct"),
        ("import {folder}", "found a folder, expected a tar that `.venv/bin/fer export` made; correct the path"),
        ("export {folder}/none/x.tar", "argument OUT.tar: found no folder"),
        ("export {folder}", "argument OUT.tar: found the folder"),
        ("live --source none", "none: found no such file, expected a video, a picture"),
        ("live --source none.png --yunet none --detector yunet", "detector: found no file none, expected the network"),
    ],
)
def test_what_is_wrong_is_told_first_and_in_full(arguments, message, tmp_path, monkeypatch, capsys):
    """Before anything is loaded: FER2013 is not here, and nobody complains of that."""
    monkeypatch.chdir(tmp_path)
    error = said(arguments.format(folder=tmp_path), capsys)
    assert message in error
    assert "Errno" not in error and "FER2013 is not here" not in error and "needs FER2013" not in error


def test_what_the_system_says_of_a_file_is_told_in_words(monkeypatch, capsys, tmp_path):
    def fetch():
        open(tmp_path / "none" / "file")

    monkeypatch.setattr("fer_lib.data.download.fetch", fetch)
    expected = (
        "none/file: found no such file or directory, expected a file or folder that can be used so; correct the path"
    )
    assert expected in said("data", capsys)


def test_a_report_of_no_run_is_refused_with_the_command_that_makes_some(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    (tmp_path / "runs" / "study" / "small" / "jax-seed0").mkdir(parents=True)
    (tmp_path / "runs" / "study" / "small" / "jax-seed0" / "metrics.json").touch()
    error = said("report --profile quick", capsys)
    assert "found no run, expected some for the report of PROFILE=quick; there are runs of full" in error
    assert "`make reproduce PROFILE=quick` makes them" in error
    assert not (tmp_path / "local").exists()


def test_the_help_of_score_shows_files_that_it_takes(tmp_path, few_faces: Faces, capsys):
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    assert SCORE in capsys.readouterr().out
    for example in re.findall(r"\n\n((?:  row,\S+\n)(?:  \d\S+\n)+)", SCORE):
        text = "\n".join(line.strip() for line in example.splitlines())
        (tmp_path / "example.csv").write_text(text.replace("28709", "0").replace("28710", "1") + "\n")
        assert (prediction_files.read(str(tmp_path / "example.csv"), few_faces)["classes"][:2] >= 0).all()
    assert len(re.findall("row,", SCORE)) == 2


# ---- the standard streams

VERB = """
import os, select, subprocess, sys, fer_lib.__main__ as entry
if os.environ.get("GONE"):
    waiting = select.poll()
    waiting.register(1, 0)
    waiting.poll()  # until the reader has gone
def run(options):
    open({there!r}, "w").close()
    {then}
entry.run = run
sys.exit(entry.main({verb!r}.split()))
"""
FULL = "error: the standard output: found no space left on device, expected room for what is written; make room, "
FULL += "or name another place\n"
much, little = "print('x' * 100_000)", "print('x')"
lost = "raise ValueError('found \\udcff \\u2013')"


@pytest.fixture
def shell(tmp_path):
    """A verb that does something, within a line of bash: its exit code, and what the line prints and says."""

    def shell(line: str, then: str = little, verb: str = "audit", **environment: str) -> tuple[int, str, str]:
        code = tmp_path / "code.py"
        code.write_text(VERB.format(there=str(tmp_path / "there"), then=then, verb=verb))
        given = os.environ | {"PYTHONPATH": str(paths.ROOT), "python": sys.executable, "code": str(code)} | environment
        line = line.replace("fer", '"$python" "$code"') + "; exit ${PIPESTATUS[0]}"
        done = subprocess.run(["bash", "-c", line], env=given, capture_output=True, text=True, timeout=60)
        assert (tmp_path / "there").exists() or "--help" in verb
        return done.returncode, done.stdout, done.stderr

    return shell


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("then", [much, little])
def test_a_reader_who_has_gone_ends_every_verb_without_a_word(then, unbuffered, shell):
    """0 where he has seen what he wanted; 141, as of all programs, where something may not have been made."""
    gone = "GONE=1 fer | true", then
    assert shell(*gone, PYTHONUNBUFFERED=unbuffered) == (0, "", "")
    assert shell(*gone, "score x", PYTHONUNBUFFERED=unbuffered) == (0, "", "")
    assert shell(*gone, "reproduce", PYTHONUNBUFFERED=unbuffered) == (141, "", "")
    assert shell(*gone, "runs --missing", PYTHONUNBUFFERED=unbuffered) == (141, "", "")
    assert shell(*gone, "score --help", PYTHONUNBUFFERED=unbuffered) == (0, "", "")


def test_a_pipe_of_something_else_that_breaks_is_an_error(shell):
    assert shell("fer", "raise BrokenPipeError(32, 'Broken pipe')") == (1, "", "error: [Errno 32] Broken pipe\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("then", [much, little])
def test_a_full_standard_output_is_named(then, unbuffered, shell):
    assert shell("fer >/dev/full", then, PYTHONUNBUFFERED=unbuffered) == (1, "", FULL)
    assert shell("fer >/dev/full 2>/dev/full", then, PYTHONUNBUFFERED=unbuffered) == (1, "", "")
    expected = "error: x.npz: found no space left on device, expected room for what is written; make room"
    assert expected in shell("fer", "raise OSError(28, 'No space left on device', 'x.npz')")[2]


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_as_dev_null(closed, shell, tmp_path):
    """A file that is opened then does not get the number of one, and with it what is printed."""
    then = f"f = open({str(tmp_path / 'file')!r}, 'w'); print('x'); print('y', file=sys.stderr); "
    then += "subprocess.run(['echo', 'z'], check=True); f.write('whole')"
    code, printed, said = shell(f"fer {closed}", then)
    assert code == 0 and (tmp_path / "file").read_text() == "whole"
    assert printed == ("" if " >&-" in f" {closed}" else "z\nx\n") and said == ("" if "2>&-" in closed else "y\n")
    code, _, said = shell(f"fer {closed}", lost)
    assert code == 1 and said == ("" if "2>&-" in closed else "error: found \\udcff –\n")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_what_an_encoding_lacks_is_printed_with_backslashes(encoding, shell):
    assert shell("fer", lost, PYTHONIOENCODING="ascii", LANG="C")[2] == "error: found \\udcff \\u2013\n"
    code, printed, _ = shell("fer", "print('\\udcff \\u2013')", PYTHONIOENCODING=encoding)
    assert (code, printed) == (0, {"ascii": "\\udcff \\u2013\n", "utf-8": "\\udcff –\n"}[encoding])


# ---- make


def make(*arguments: str) -> subprocess.CompletedProcess:
    """What ``make`` would do: nothing is executed. What a make around these tests hands on is left out."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", "-n", *arguments], cwd=paths.ROOT, env=alone, capture_output=True, text=True)


@pytest.mark.parametrize(
    "wrong", ["SEED=1", "seeds=1", "PROFIL=full", "NAME=table1", "FER2103=/data", "FERPLUSS=/data"]
)
def test_make_refuses_an_option_that_it_does_not_know(wrong):
    done = make("reproduce", wrong)
    assert done.returncode != 0 and f"found the option {wrong.split('=')[0]}, expected some of PROFILE" in done.stderr


def test_make_hands_its_options_on():
    line = make("plan", "PROFILE=full", "ONLY=a b", "SEEDS=-1", "FORCE=1", "FER2013=/a b/c=d", "CUDA_VISIBLE_DEVICES=0")
    assert line.stdout.splitlines()[-1].split("fer_lib ")[1] == (
        'plan --profile "full" --seeds "-1" --only "a b" --force'
    )
    assert "--force" not in make("reproduce", "FORCE=0").stdout.splitlines()[-1]


def test_make_hands_a_kit_s_options_on():
    line = make("kit", "SIZE=20", "FOR=3.11", "WITHOUT=jax,h5py", "OUT=/a b", "ONLY=table1", "FORCE=1").stdout
    assert line.replace("\\\n", "").split("fer_lib ")[-1].split() == (
        'kit "/a b" --size "20" --python "3.11" --without "jax,h5py" --only "table1"'.split()
    )
    assert 'kit "results/local/kit"' in make("kit").stdout


def test_jupyterlab_starts_for_root_too():
    assert ("--allow-root" in make("lab").stdout.splitlines()[-1]) == (os.getuid() == 0)


def test_jupyterlabs_kernel_is_this_environments(tmp_path):
    """Whatever JUPYTER_PATH, or the user's own folder, has by its name."""
    mine, of_env = tmp_path / "home" / ".local/share/jupyter", tmp_path / "env" / "share" / "jupyter"
    for folder in (mine, of_env, tmp_path / "other"):
        (folder / "kernels" / "python3").mkdir(parents=True)
        (folder / "kernels" / "python3" / "kernel.json").write_text(
            '{"argv": ["false"], "display_name": "", "language": ""}'
        )
    code = f"import sys; sys.prefix = {str(tmp_path / 'env')!r}; from jupyter_client import kernelspec as kernels"
    code += "; print(kernels.find_kernel_specs()['python3'])"
    given = dict(each.split("=") for each in make("lab").stdout.splitlines()[-1].split(" .venv")[0].split())
    assert given == {"JUPYTER_PATH": "", "JUPYTER_PREFER_ENV_PATH": "1"}
    for added, expected in (({}, tmp_path / "other"), (given, of_env)):
        around = os.environ | {"HOME": str(tmp_path / "home"), "JUPYTER_PATH": str(tmp_path / "other")} | added
        done = subprocess.run([sys.executable, "-c", code], env=around, capture_output=True, text=True)
        assert done.stdout.strip() == str(expected / "kernels" / "python3")


def test_the_help_lists_every_target_in_short_lines():
    shown = subprocess.run(["make", "help"], cwd=paths.ROOT, capture_output=True, text=True).stdout
    targets = re.findall(r"^([a-z][a-z-]+):", (paths.ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^  make (\S+)", shown, re.MULTILINE) == targets
    assert max(map(len, shown.splitlines())) <= 110
    assert all(f"{option}=" in shown for option in ("PROFILE", "ONLY", "SEEDS", "FORCE", "JOBS", "FER2013", "KEEP"))


def test_skipped_tests_say_why():
    text = (paths.ROOT / "Makefile").read_text()
    assert text.count(".venv/bin/pytest -rs ") == 2


def test_scores_never_overwrite_what_is_scored(tmp_path, capsys):
    mine, linked = tmp_path / "mine.csv", tmp_path / "linked.csv"
    mine.write_text("row,emotion\n28709,happy\n")
    linked.symlink_to(mine)
    for verb in (["score", str(mine)], ["cross", str(mine), "fer2013"]):
        assert main([*verb, "--json", str(linked)]) == 1
        assert "linked.csv: found a file that is read, expected another" in capsys.readouterr().err
    assert mine.read_text() == "row,emotion\n28709,happy\n"


def test_scores_never_overwrite_the_data_they_are_of(tmp_path, monkeypatch, capsys):
    mine, faces, votes = tmp_path / "mine.csv", tmp_path / "faces.csv", tmp_path / "votes.csv"
    pictures, lists = tmp_path / "pictures", tmp_path / "affectnet" / "Manually_Annotated_file_lists"
    picture = pictures / "train" / "happy" / "Training_1.jpg"
    for file in (mine, faces, votes, picture, lists / "training.csv", lists / "validation.csv"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("row,emotion\n28709,happy\n")
    (tmp_path / "affectnet" / "Manually_Annotated_Images").mkdir()
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path)
    monkeypatch.setenv("FERPLUS", str(votes))
    monkeypatch.setenv("AFFECTNET", str(tmp_path / "affectnet"))
    for data, name, into in (
        (faces, "fer2013", faces),
        (faces, "fer2013", linked / "faces.csv"),
        (faces, "ferplus", faces),
        (faces, "ferplus", votes),
        (pictures, "fer2013", picture),
        (faces, "affectnet", lists / "validation.csv"),
    ):
        monkeypatch.setenv("FER2013", str(data))
        for verb in [["cross", str(mine), name], *[["score", str(mine)]] * (name != "affectnet")]:
            assert main([*verb, "--json", str(into)]) == 1
            assert f"{into}: found a file that is read, expected another; name one" in capsys.readouterr().err
            assert into.read_text() == "row,emotion\n28709,happy\n"


def test_an_archive_never_takes_the_place_of_a_record(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    record = tmp_path / "local" / "smoke" / "runs" / "study" / "one" / "jax-seed0" / "metrics.json"
    record.parent.mkdir(parents=True)
    record.write_text("a record")
    assert main(["export", str(record), "--profile", "smoke"]) == 1
    assert "metrics.json: found a file that is read, expected another" in capsys.readouterr().err
    assert record.read_text() == "a record"
