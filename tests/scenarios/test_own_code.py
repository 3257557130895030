"""An outsider's files, each one file, through the command line in an empty folder and in worker processes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command import error, run

OWN = Path(__file__).parents[1] / "own"
QUICK = ("--set", "initial_size=10", "query_size=5", "budget=10")
NETWORK = ("--set", "epochs=1", "width=4")


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> Path:
    """Copies the outsider's files into the current folder, which is empty otherwise."""
    for file in OWN.glob("*.py"):
        shutil.copy(file, tmp_path)
    return tmp_path


def folders(out: str) -> set[str]:
    return {path.parent.name for path in Path(out).glob("*/curve.csv")}


def test_a_strategy_of_ones_own_is_played_anew_when_its_file_is_edited() -> None:
    spelled = "random,longest.py:Longest,longest.py:Longest:shortest=true,apart:Apart,coreset+apart.py:Apart"
    base = ("compare", "ALDigitsRidge-v0", "--agents", spelled, "--seeds", "2", *QUICK, "--out", "o")
    code, out, err = run(*base, "--jobs", "2")
    assert code == 0, err
    for label in spelled.split(","):
        assert label in out.replace("\n", "")
    first = folders("o")
    assert len(first) == 10
    assert run(*base)[0] == 0
    assert folders("o") == first  # nothing new to play
    curves = Path("o/curves.csv").read_text()
    text = Path("longest.py").read_text()
    Path("longest.py").write_text(text.replace("-1 if shortest else 1", "1 if shortest else -1"))
    code, _, err = run(*base, "--jobs", "2")
    assert code == 0, err
    assert "longest.py:Longest has changed" in err.replace("\n", "")
    assert len(folders("o") - first) == 4  # two arms, two seeds; the others stand, and the old ones are kept
    assert first < folders("o")
    rows = Path("o/curves.csv").read_text().splitlines()
    before = dict(line.rsplit(",", 1) for line in curves.splitlines())
    after = dict(line.rsplit(",", 1) for line in rows)
    assert len(after) == len(before)
    longest = [value for key, value in before.items() if key.startswith("longest.py:Longest,")]
    shortest = [value for key, value in after.items() if key.startswith("longest.py:Longest:shortest=true,")]
    assert longest == shortest


def test_what_a_strategy_imports_beside_it_is_watched_too() -> None:
    Path("of_mine.py").write_text("SIGN = 1")
    text = Path("longest.py").read_text()
    Path("longest.py").write_text(text.replace("import agents", "import agents\nfrom of_mine import SIGN"))
    base = (
        "compare",
        "ALDigitsRidge-v0",
        "--agents",
        "longest.py:Longest",
        "--seeds",
        "1",
        *QUICK,
        "--out",
        "o",
    )
    assert run(*base)[0] == 0
    Path("of_mine.py").write_text("SIGN = 2")
    assert run(*base)[0] == 0
    assert len(folders("o")) == 2


@pytest.mark.parametrize(
    ("env", "settings"),
    [
        ("ALDigits-v0", (*NETWORK, "joint=teacher.py:Teacher", "joint_weight=0.5")),
        ("ALDigits-v0", (*NETWORK, "head=five.py:Five")),
        ("ALDigitsRidge-v0", ("embedding=brightness.py:quarters",)),
        ("blobs.py:ALBlobs-v0", ()),
        ("blobs:ALBlobsRidge-v0", ("validation=100",)),
    ],
)
def test_everything_else_of_ones_own(env: str, settings: tuple[str, ...]) -> None:
    base = ("compare", env, "--agents", "random,margin", "--seeds", "2", *QUICK, *settings, "--out", "o")
    code, _, err = run(*base, "--jobs", "2")
    assert code == 0, err
    assert len(folders("o")) == 4
    arms = json.loads(Path("o/settings.json").read_text())["arms"]
    assert any(name.endswith(".py") for name in arms["margin"]["content"])


def test_an_agent_may_need_what_an_objective_of_ones_own_gives() -> None:
    Path("lowest.py").write_text(
        "import agents\n\n\nclass Lowest(agents.Strategy):\n"
        '    """The least labeled."""\n\n    needs = ("labeled_score",)\n\n'
        "    def pick(self, view, indices, count, generator):\n"
        "        scores = -view.labeled_score(indices)\n"
        "        return indices[agents.best(scores, count, generator).numpy()]\n"
    )
    base = ("compare", "ALDigits-v0", "--seeds", "1", *QUICK, *NETWORK, "--out", "o", "--agents")
    assert "needs labeled_score" in error(*base, "lowest.py:Lowest")
    assert not Path("o").exists()
    code, _, err = run(*base, "lowest.py:Lowest@joint=teacher.py:Teacher")
    assert code == 0, err
    code, out, _ = run("agents", "lowest.py:Lowest")
    assert code == 0
    assert "Needs: labeled_score" in out


def test_a_scenario_of_ones_own_subtracts_per_agent() -> None:
    code, out, err = run("run", "warm_cold.py:warm_cold", "--size", "smoke", "--jobs", "2", "--out", "o")
    assert code == 0, err
    assert "its own reference" in out.replace("\n", " ") or "against" in out
    assert Path("o/curve.png").stat().st_size > 10_000
    found = json.loads(run("report", "o", "--json")[1])
    assert found["pictures"][0]["against"] == {"random warm": "random cold", "margin warm": "margin cold"}
    code, out, _ = run("scenarios", "warm_cold.py:warm_cold")
    assert code == 0
    assert "Warm minus cold start" in out
    assert "option" in error("run", "warm_cold.py:warm_cold", "--option", "epoch=3", "--size", "smoke")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("compare", "ALDigits-v0", "--agents", "longest.py:Longst"), "did you mean 'longest.py:Longest'"),
        (("compare", "ALDigits-v0", "--agents", "none.py:Longest"), "none.py"),
        (("compare", "ALDigits-v0", "--agents", "teacher.py:Teacher"), "is no agent"),
        (("compare", "ALDigits-v0", "--agents", "longest.py:Longest:shrtest=1"), "did you mean 'shortest'"),
        (("compare", "blobs.py:ALBlob-v0", "--agents", "random"), "ALBlobs"),
        (("compare", "none.py:ALBlobs-v0", "--agents", "random"), "none.py"),
        (("run", "warm_cold.py:warm_col"), "did you mean 'warm_cold.py:warm_cold'"),
        (("run", "longest.py:Longest"), "is no scenario"),
        (("compare", "ALDigits-v0", "--agents", "random", "--set", "joint=teacher.py:Techer"), "Teacher"),
        (("compare", "ALDigits-v0", "--agents", "coreset+policy=x"), "no agent 'policy=x'"),
    ],
)
def test_what_is_misspelled_is_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    assert said in error(*arguments)
