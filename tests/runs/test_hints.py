"""Commands that are printed do what their sentences promise: they plan what a row, a cause or a claim names."""

import json
import re

import pytest

from fer_lib import data, paths, runs, system
from fer_lib.claims import ledger
from fer_lib.data import ferplus
from fer_lib.models import weights
from fer_lib.report import sections, show, tables
from fer_lib.report.causes import page
from fer_lib.runs import plan

COMMAND = re.compile(r"make (reproduce|weights)((?: [A-Z0-9_]+=[^\s`;,.)]+(?:[,./][^\s`;,.)]+)*)*)")


@pytest.fixture(scope="module")
def known() -> dict:
    return runs.experiments()


@pytest.fixture(autouse=True)
def _without_gpu(monkeypatch, known):
    monkeypatch.setattr(system, "has_gpu", lambda: False)  # the hardest case: nothing heavy is made unless it is named
    for module in (runs, plan):  # read once, not some hundred times
        monkeypatch.setattr(module, "experiments", lambda: known)


def commands(text: str) -> list[tuple[str, dict[str, str]]]:
    """The ``make`` commands in a text: target and variables."""
    return [(target, dict(each.split("=", 1) for each in rest.split())) for target, rest in COMMAND.findall(text)]


def planned(text: str, monkeypatch, tmp_path) -> set[str]:
    """The experiments of which the text's commands make full runs, where all is done that it says, and no more."""
    names = set()
    variables = {variable for _, variable in data.SUPPLIED.values()}
    for name in variables:
        monkeypatch.delenv(name, raising=False)
    for file in (paths.DATA / "weights").glob("*"):
        file.unlink()
    for file in re.findall(r"`data/weights/([\w.]+)`, then", text):
        (paths.DATA / "weights").mkdir(parents=True, exist_ok=True)
        (paths.DATA / "weights" / file).touch()
    for target, given in commands(text):
        if target == "weights":
            (paths.DATA / "weights").mkdir(parents=True, exist_ok=True)
            for network in given["ONLY"].split(","):
                (paths.DATA / "weights" / weights.SOURCES[network].file).touch()
            continue
        assert given.get("PROFILE") == "full", f"{text}: without a GPU it would make quick's runs"
        for name in variables & given.keys() - {"FERPLUS"}:
            monkeypatch.setenv(name, str(tmp_path))
        if "FERPLUS" in given:
            (tmp_path / ferplus.NAME).touch()
            monkeypatch.setenv("FERPLUS", str(tmp_path / ferplus.NAME))
        names |= {run.name for run in plan.wanted("full", only=given["ONLY"]) if run.profile == "full"}
    return names


def made_by(name: str) -> str:
    return runs.experiments()[name].get("milestone_of", name)


def test_every_row_that_is_empty_names_the_command_that_fills_it(monkeypatch, tmp_path, known):
    for name in known:
        (line,) = [
            line for line in tables.results([], {name: known[name]}).splitlines() if "make reproduce" in line
        ] or [tables.how_to_run([name], known)]  # a diagnostic has no row, but is named where causes are
        assert planned(line, monkeypatch, tmp_path) == {made_by(name)}, line
    everything = tables.how_to_run(list(known), known)
    assert planned(everything, monkeypatch, tmp_path) == {made_by(name) for name in known}
    assert "AFFECTNET=PATH FERPLUS=PATH" in everything and everything.startswith("`make weights ONLY=")


def test_every_cause_names_the_commands_that_make_its_runs(monkeypatch, tmp_path, known):
    causes = page.all_causes([], known, tmp_path)
    sentences = [part for cause in causes.values() for part in cause.body if "make reproduce" in str(part)]
    assert len(sentences) >= 3
    for sentence in sentences:
        asked = {made_by(name) for _, given in commands(sentence) for name in given["ONLY"].split(",") if "/" in name}
        assert asked and planned(sentence, monkeypatch, tmp_path) == asked, sentence


def test_every_claim_that_waits_names_the_commands_that_test_it(monkeypatch, tmp_path):
    waiting = [
        claim
        for claim in ledger.read(paths.CLAIMS, runs.experiments())
        if any(kind in claim for kind in ledger.WAITING)
    ]
    assert len(waiting) > 5
    for claim in waiting:
        (text,) = [claim[kind] for kind in ledger.WAITING if kind in claim]
        assert {made_by(name) for name in claim["runs"]} <= planned(text, monkeypatch, tmp_path), claim["id"]


def test_the_survey_and_an_empty_report_name_their_commands(monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(show, "display", lambda *parts: shown.extend(part.data for part in parts))
    show.show_live([], tmp_path)
    assert planned(shown[0], monkeypatch, tmp_path) == {"ours/live_conditions"}
    assert ("reproduce", {"PROFILE": "full"}) in commands(sections.warning([]))


def test_after_weights_were_fetched_the_command_uses_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(weights, "check", lambda path, name: None)
    (paths.DATA / "weights").mkdir(parents=True)
    for name in ("vgg16", "caffenet"):
        (paths.DATA / "weights" / weights.SOURCES[name].file).touch()
    assert weights.fetch("vgg16,caffenet") == 0
    said = "`make weights ONLY=vgg16,caffenet` " + capsys.readouterr().out.splitlines()[-1]
    assert planned(said, monkeypatch, tmp_path) == {"vorontsov2018/table1_vgg16", "vorontsov2018/table1_caffenet"}


def test_no_text_names_a_run_without_its_profile_or_calls_the_module():
    """Whatever is printed or shown, those included that no test above reaches."""
    texts = {path: path.read_text() for path in (paths.ROOT / "fer_lib").glob("**/*.py")}
    texts |= {path: path.read_text() for path in paths.CLAIMS.glob("*.yaml")}
    for path in paths.NOTEBOOKS.glob("*.ipynb"):
        texts[path] = "".join("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"])
    for path, text in texts.items():
        for line in re.findall(r"make reproduce [^`\n]*ONLY=[^`\n]*", text):
            assert "PROFILE=" in line, f"{path}: {line}"
        found = text.count("python -m fer_lib") - (path.parts[-2:] == ("fer_lib", "__main__.py"))
        assert found == 0 or path.suffix == ".ipynb", path


def test_the_entry_point_is_the_module_s_main():
    import tomllib

    from fer_lib import __main__

    scripts = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"fer": "fer_lib.__main__:main"} and callable(__main__.main)
    assert __main__.parser().prog == "fer"
