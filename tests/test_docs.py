"""The README and the pages in ``docs/``: their links lead somewhere, their commands exist, and the quick ones run."""

import functools
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from live_frames import video
from made_up_fer2013 import csv_text

from fer_lib import data, paths, runs
from fer_lib.__main__ import main, parser
from fer_lib.evaluation import records
from fer_lib.models import weights
from fer_lib.report import parts, sections
from fer_lib.runs import notebooks, plan

ROOT = paths.ROOT
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WRITTEN_WHOLE = ROOT / "docs" / "model_card.md"
"""By ``make live-model``."""
GUIDES = [page for page in PAGES[1:] if page.name not in ("article.md", WRITTEN_WHOLE.name)]
MAKEFILE = (ROOT / "Makefile").read_text()
PLACEHOLDERS = {"NAME", "PATH"}
FER = (".venv/bin/fer", "fer", "python -m fer_lib", ".venv/bin/python -m fer_lib")
BEGINNINGS = ("make", *FER, "papermill", ".venv/bin/papermill", "pip install")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
each_guide = pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)


# ---- reading Markdown


def code_and_prose(text: str) -> tuple[list[tuple[str, str]], str]:
    """The blocks of code, each with its language ("" where it is indented, or has none), and the text without them."""
    blocks, prose, fence, before = [], [], None, ""
    for line in text.splitlines():
        if line.startswith("```"):
            fence = None if fence else line[3:].strip() or "text"
            if fence:
                blocks.append((fence, []))
        elif fence:
            blocks[-1][1].append(line)
        elif line.startswith("    ") and (not before or before == "in code"):
            if before != "in code":
                blocks.append(("", []))
            blocks[-1][1].append(line[4:])
            before = "in code"
            continue
        else:
            prose.append(line)
        before = line.strip()
    return [(language, "\n".join(lines)) for language, lines in blocks], "\n".join(prose)


def slugs(text: str) -> list[str]:
    """The anchors that GitHub gives a page's headings."""
    found: list[str] = []
    for title in re.findall(r"^#{1,6} +(.+?) *#*$", code_and_prose(text)[1], re.MULTILINE):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("\\_", "_")
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other) is not None for other in found)
        found.append(f"{slug}-{count}" if count else slug)
    return found


def links(page: Path) -> list[str]:
    """Where the page's links and pictures lead, those to other machines left out."""
    prose = re.sub(r"`[^`\n]*`", "", code_and_prose(page.read_text())[1])
    found = re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r'(?:href|src)="([^"]+)"', prose)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def commands(page: Path) -> list[str]:
    """Every command in blocks of code and in the running text, without comments and variables set before it."""
    blocks, prose = code_and_prose(page.read_text())
    lines = [
        line for language, block in blocks if language in ("", "sh", "bash", "text") for line in block.splitlines()
    ]
    lines += re.findall(r"`([^`\n]+)`", prose)
    found = []
    for line in lines:
        for part in re.split(r"&&|;|\|", re.sub(r"(^|\s+)#.*", "", line)):
            part = re.sub(r"^(\$ +|export |[A-Z][A-Z0-9_]*=\S+ +)*", "", part.strip())
            if any(part == beginning or part.startswith(f"{beginning} ") for beginning in BEGINNINGS) and part != "fer":
                found.append(part)
    return list(dict.fromkeys(found))


# ---- links


@each_page
def test_every_link_leads_to_a_file_and_a_heading(page):
    wrong = []
    for link in links(page):
        name, _, anchor = link.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or not file.is_relative_to(ROOT):
            wrong.append(f"{link}: no such file")
        elif anchor and file.suffix == ".md" and anchor not in slugs(file.read_text()):
            wrong.append(f"{link}: {file.name} has no such heading")
        elif anchor and file.suffix == ".html" and f'id="{anchor}"' not in file.read_text():
            wrong.append(f"{link}: {file.name} has no such id")
    assert wrong == []


def test_every_page_is_linked_from_another():
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page)
              if not link.startswith("#")}  # fmt: skip
    assert [page.name for page in PAGES[1:] if page not in linked] == []


@each_guide
def test_a_page_opens_with_a_sentence_and_its_contents(page):
    title, purpose, contents = (" ".join(part.split()) for part in page.read_text().split("\n\n")[:3])
    assert title.startswith("# ")
    assert purpose.startswith("This page ") and purpose.endswith(".") and ". " not in purpose
    headings = re.findall(r"^## (.+)$", code_and_prose(page.read_text())[1], re.MULTILINE)
    named = re.findall(r"\[([^\]]+)\]\(#([^)]+)\)", contents)
    assert [text for text, _ in named] == headings
    assert contents == " · ".join(f"[{text}](#{slug})" for text, slug in named)


def test_the_readme_is_an_overview():
    assert len(PAGES[0].read_text().splitlines()) <= 150


def test_headings_have_the_anchors_that_github_gives_them():
    text = "# FER+\n## `make`: a *start*\n\n    # no heading\n\n## FER+\n### [Why](x.md), how\n"
    assert slugs(text) == ["fer", "make-a-start", "fer-1", "why-how"]


# ---- numbers


@each_page
def test_no_table_of_measured_numbers_is_typed(page):
    if page == WRITTEN_WHOLE:
        return
    typed = re.sub(r"<!-- written by (.+?) -->\n.*?<!-- end of \1 -->\n", "", page.read_text(), flags=re.DOTALL)
    wrong = []
    for line in code_and_prose(typed)[1].splitlines():
        cells = [re.sub(r"`[^`]*`|\w*\([^)]*\)", "", cell).strip() for cell in line.split("|")[1:-1]]
        wrong += [line for cell in cells if re.fullmatch(r"[+±-]?\d[\d.,]*( ?(%|[a-zA-Z]{1,2}))?", cell)
                  or re.search(r"\d\.\d|\d ?%|\[-?\d", cell)]  # fmt: skip
    assert wrong == []


def test_the_part_on_two_intervals_is_what_the_records_say():
    judged = json.loads((paths.RESULTS / "claims.json").read_text())["claims"]
    part = sections.two_intervals(judged, records.load(paths.RESULTS), runs.experiments())
    assert parts.with_part(parts.RESULTS, "make report", part) == parts.RESULTS.read_text()
    assert part.count("[") == 3


# ---- commands exist


@functools.cache
def experiments() -> dict[str, dict]:
    return runs.experiments()


@functools.cache
def from_environment() -> set[str]:
    """The environment variables that the project reads."""
    files = [path for folder in ("fer_lib", "tests", "bench") for path in (ROOT / folder).rglob("*.py")]
    reads = r'(?:environ|named|supplied)\W[^\n]*?"([A-Z][A-Z0-9_]+)"'
    found = {name for file in files for name in re.findall(reads, file.read_text())}
    return found | {"KERAS_BACKEND", "KAGGLE_API_TOKEN"}


def recipe(target: str) -> str:
    """A target's line and recipe in the Makefile, with the variables that it names."""
    match = re.search(rf"^{re.escape(target)}:.*(?:\n\t.*)*", MAKEFILE, re.MULTILINE)
    assert match, f"make {target}: there is no such target"
    named = re.findall(r"\$\((\w+)\)", match[0])
    texts = [re.search(rf"^{name} *[:?]?=(?:.*\\\n)*.*", MAKEFILE, re.MULTILINE) for name in named]
    return "\n".join([match[0], *(text[0] for text in texts if text)])


def check_only(only: str) -> None:
    if only not in PLACEHOLDERS:
        plan.chosen(experiments(), only)


def check_make(words: list[str]) -> None:
    targets = [word for word in words if "=" not in word and not word.startswith("-")]
    text = "\n".join(recipe(target) for target in targets)
    for name, _, value in (word.partition("=") for word in words if "=" in word):
        assert f"$({name})" in text or name in from_environment() | {"PYTHON", "CLUSTER"}, (
            f"{name}= is not used by {targets}"
        )
        if name == "PROFILE" and value:
            assert value in paths.PROFILES
        elif name == "ONLY" and targets == ["weights"]:
            assert set(value.split(",")) <= weights.SOURCES.keys()
        elif name == "ONLY":
            check_only(value)


def verbs() -> list[str]:
    return list(next(action.choices for action in parser()._actions if action.dest == "verb"))


def check_fer(words: list[str]) -> None:
    if len(words) <= 1 or words[1:] == ["--help"]:
        assert not words or words[0] in ["--help", *verbs()], f"{words[0]}: there is no such verb"
        return
    options = parser().parse_args(words)
    if options.verb == "run":
        assert {name for name, _ in options.experiments} <= {*PLACEHOLDERS, *experiments()}
    if options.verb == "weights":
        assert set(filter(None, options.only.split(","))) <= weights.SOURCES.keys()
    else:
        check_only(getattr(options, "only", ""))


def check_pip(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    known = {re.split(r"[^\w-]", each)[0] for each in sum(extras.values(), project["dependencies"])}
    for word in (word for word in words if not word.startswith("-")):
        match = re.fullmatch(r"\.(?:\[(.+)\])?|([\w-]+)(==.+)?", word)
        assert match, f"{word}: neither this project nor a package"
        assert set(filter(None, (match[1] or "").split(","))) <= extras.keys()
        assert not match[2] or match[2] in known
        assert not match[3] or word in sum(extras.values(), [])


def check_papermill(words: list[str]) -> None:
    notebook = next(word for word in words if word.endswith(".ipynb"))
    assert (ROOT / notebook).is_file()
    known = notebooks.defaults(Path(notebook).stem)
    assert {words[place + 1] for place, word in enumerate(words) if word == "-p"} <= known.keys()


def check(command: str) -> None:
    """Raise AssertionError, ValueError or SystemExit where there is no such command."""
    words = shlex.split(command)
    if words[0] == "make":
        check_make(words[1:])
    elif words[:2] == ["pip", "install"]:
        check_pip(words[2:])
    elif words[0].endswith("papermill"):
        check_papermill(words[1:])
    else:
        check_fer(words[1:] if words[0].endswith("fer") else words[3:])


@each_page
def test_every_command_exists(page, capsys):
    wrong = []
    for command in commands(page):
        try:
            check(command)
        except (AssertionError, ValueError, SystemExit) as error:
            wrong.append(f"{command}: {capsys.readouterr().err or error}")
    assert wrong == []


@each_page
def test_every_variable_is_read(page):
    named = re.findall(r"`([A-Z][A-Z0-9_]+)=[^`]*`", code_and_prose(page.read_text())[1])
    used = set(re.findall(r"\$\((\w+)\)", MAKEFILE)) | from_environment()
    assert [name for name in named if name not in used] == []


@pytest.mark.parametrize("command", [
    "make nothing", "make test PROFILE=smoke", "make reproduce PROFILE=large", "make reproduce ONLY=nobody",
    "make weights ONLY=alexnet", "fer nothing", "fer runs --nothing", "fer run ours/nothing", "fer runs --only nobody",
    "python -m fer_lib nothing", "pip install '.[nothing]'", "pip install nothing", "pip install keras==1.0",
    "papermill notebooks/7_nothing.ipynb out.ipynb", "papermill notebooks/3_train_network.ipynb o.ipynb -p nothing 1",
])  # fmt: skip
def test_a_command_that_does_not_exist_is_found_out(command):
    with pytest.raises((AssertionError, ValueError, SystemExit)):
        check(command)


# ---- commands run


def documented(*beginnings: str) -> list[str]:
    """The commands of all pages that begin so, each once."""
    found = dict.fromkeys(command for page in PAGES for command in commands(page))
    return [command for command in found if command.startswith(beginnings)]


def ran(*words: str) -> str:
    """What a command of its own printed. AssertionError where it failed."""
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def arguments(command: str) -> list[str]:
    """Those of a documented ``fer``."""
    words = shlex.split(command)
    return words[1:] if words[0].endswith("fer") else words[3:]


def test_make_says_what_there_is_and_would_do_what_is_written():
    assert {"reproduce", "test", "data", "report"} <= set(re.findall(r"^  make ([a-z-]+)", ran("make", "help"), re.M))
    for command in documented("make "):
        ran("make", "-n", "PYTHON=python3", *shlex.split(command)[1:])


def test_help_is_there_for_every_verb(capsys):
    assert "reproduce" in ran(sys.executable, "-m", "fer_lib", "--help")
    for verb in verbs():
        with pytest.raises(SystemExit, match="0"):
            main([verb, "--help"])
        assert f" {verb} " in capsys.readouterr().out


def test_runs_lists_what_is_there(monkeypatch, capsys, few_faces):
    monkeypatch.setattr(data, "load_faces", lambda name: few_faces)
    assert main(["runs", "--profile", "smoke", "--only", "table1_feedforward,decision_tree"]) == 0
    assert "saravanan2019/table1_feedforward seed 0" in capsys.readouterr().out


def test_made_up_predictions_are_scored(tmp_path, monkeypatch, capsys, few_faces):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FER2013", "PATH")
    Path("PATH").write_text(csv_text(few_faces.images, few_faces.labels, few_faces.split))
    for name in ("mine.csv", "other.csv"):
        Path(name).write_text("row,emotion\n" + "".join(f"{row},happy\n" for row in few_faces.ids))
    scored = documented(*(f"{name} score " for name in FER))
    assert scored
    for command in scored:
        with pytest.warns(UserWarning, match="not the official"):
            assert main(arguments(command)) == 0
        printed = capsys.readouterr().out
        assert "| PrivateTest " in printed and printed.count("14.29") >= 2


@pytest.fixture
def pictures(tmp_path):
    """A folder with the sources that the pages name: a picture of a face, videos of it."""
    skimage, cv2 = pytest.importorskip("skimage.data"), pytest.importorskip("cv2")

    image = np.ascontiguousarray(skimage.astronaut()[:, :, ::-1])
    (tmp_path / "clips").mkdir()
    for name in ("picture.png", "intro.png"):
        cv2.imwrite(str(tmp_path / name), image)
    for name in ("video.mp4", "clips/one.mp4"):
        video(tmp_path / name, [image] * 2)
    return tmp_path


def test_the_live_commands_and_the_example_run(pictures, monkeypatch, capsys):
    monkeypatch.chdir(pictures)
    found = [command for command in documented(*(f"{name} live " for name in FER)) if "--show" not in command]
    assert len(found) >= 2
    for command in found:
        assert main(arguments(command)) == 0
    capsys.readouterr()
    for language, block in (block for page in PAGES for block in code_and_prose(page.read_text())[0]):
        if language == "python":
            exec(compile(block, "an example", "exec"), {})
            assert "happy" in capsys.readouterr().out


def test_the_experiment_that_the_readme_shows_is_the_one_that_it_names():
    text = (paths.ROOT / "README.md").read_text()
    shown = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.S)[1])
    name = re.search(r"`(ours/\w+)`, asks", text)[1]
    whole = yaml.safe_load((paths.EXPERIMENTS / f"{name}.yaml").read_text())
    assert shown == {key: value for key, value in whole.items() if key not in ("order", "seeds")}
