"""Arms, checks and pictures as data, and what settles them before anything is played."""

from __future__ import annotations

from pathlib import Path

import pytest

import agents
from alenv.errors import AlenvError, InvalidProtocol, MissingHead, UnknownName
from scenarios import Arm, Check, Grid, Picture, Scenario, against_one, build, product
from scenarios.plan import settling
from scenarios.plan.settling import settle

ROOT = Path(__file__).parent.parent.parent


def test_product_crosses_agents_with_variants() -> None:
    arms = product("E-v0", ["a", "b@x=1"], {"k": 1}, {"": {}, " cold": {"start": "cold"}})
    assert [arm.label for arm in arms] == ["a", "b", "a cold", "b cold"]
    assert arms[3].env_kwargs == {"k": 1, "start": "cold"}


def test_an_arm_takes_the_settings_of_its_spelling() -> None:
    arm = Arm("x", "E-v0", "ll4al:pool=all@joint=loss_prediction", {"epochs": 3}).resolved()
    assert arm.agent == "ll4al:pool=all"
    assert arm.env_kwargs == {"epochs": 3, "joint": "loss_prediction"}
    assert arm.resolved() == arm


def test_what_an_agent_lacks_is_said_before_an_environment_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(settling, "make_environment", lambda arm, threads: made.append(arm.label))
    with pytest.raises(MissingHead, match="ll4al needs predicted_loss"):
        settle(
            [Arm(agent, "ALDigits-v0", agent, {"pretraining": "rotation"}) for agent in ("random", "ll4al")]
        )
    assert made == []


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> str:
    """A strategy that reads validation accuracy."""
    monkeypatch.setattr(type(agents.make("margin")), "needs", ("validation",))
    return "margin"


def test_an_agent_that_reads_validation_accuracy_gives_every_arm_the_same_split(reader: str) -> None:
    def splits(*spelled: str) -> list[int | None]:
        arms = settle([Arm(agent, "ALDigits-v0", agent) for agent in spelled])
        return [arm.env_kwargs.get("validation") for arm in arms]

    assert splits("random", "entropy") == [None, None]
    assert splits("random", reader) == [129, 129]  # a tenth of 1,297
    assert splits("random", f"{reader}@validation=200") == [200, 200]
    assert splits("random@validation=200", reader, "entropy@validation=0") == [200, 200, 200]
    with pytest.raises(InvalidProtocol, match="validation=100 and 200"):
        splits("random@validation=100", f"{reader}@validation=200")
    ridge = settle([Arm(agent, "ALDigitsRidge-v0", agent) for agent in ("random", reader)])
    assert all("validation" not in arm.env_kwargs for arm in ridge)  # its own split of 200


def test_labels_are_unique() -> None:
    with pytest.raises(AlenvError, match="share a label"):
        Grid(product("E-v0", ["a", "a"]), 1, "")


def scenario(*checks: Check, pictures: tuple[Picture, ...] = ()) -> Scenario:
    sizes = {
        "paper": Grid(
            product("ALDigits-v0", ["random", "margin"], {"initial_size": 40, "query_size": 20}), 3, ""
        ),
        "smoke": Grid(product("ALDigits-v0", ["random", "margin"], {"budget": 20}), 1, ""),
    }
    return Scenario("made_up", "A title", "A claim", "nowhere", sizes, pictures, checks)


def test_checks_are_compared_where_cycles_end() -> None:
    at = (None, "start", "first", "end", 40, 60, 180)
    found = scenario(*(Check("margin", "random", 1, moment) for moment in at))
    assert [str(check) for check in found.checks][:2] == [
        "margin above random in the area under the curve",
        "margin above random at the start",
    ]
    assert str(Check("a", "b", 0, 1000)) == "a as good as b at 1,000 labels"


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (Check("margins", "random", 1), "did you mean 'margin'"),
        (Check("margin", "badge", 1), "no arm of size paper named 'badge'"),
        (Check("margin", "random", 2), "sign=2; use 1, 0 or -1"),
        (Check("margin", "margin", 1), "compares margin with itself"),
        (Check("margin", "random", 1, "ends"), "did you mean 'end'"),
        (
            Check("margin", "random", 1, 50),
            "margin above random at 50 labels' cannot be decided, since no cycle of random ends",
        ),
        (Check("margin", "random", 1, 20), "no cycle of random"),
        (Check("margin", "random", 1, 10_000), "at 10,000 labels"),
    ],
)
def test_a_check_that_nothing_could_decide_is_refused(check: Check, said: str) -> None:
    with pytest.raises(AlenvError, match=said):
        scenario(check)


def test_a_picture_subtracts_what_it_shows() -> None:
    assert against_one(["random", "margin"], "random") == {"margin": "random"}
    with pytest.raises(UnknownName, match="no arm of picture curve named 'badge'"):
        Picture("curve", "", ("margin", "random"), {"margin": "badge"})
    with pytest.raises(AlenvError, match="subtracts margin from itself"):
        Picture("curve", "", ("margin", "random"), {"margin": "margin"})
    with pytest.raises(UnknownName, match="no arm of size paper named 'badge'"):
        scenario(pictures=(Picture("curve", "", ("badge",)),))


def test_unknown_names_and_sizes() -> None:
    with pytest.raises(UnknownName, match="did you mean 'default_setting'"):
        build("defaultsetting")
    with pytest.raises(UnknownName, match="did you mean 'smoke'"):
        build("default_setting").grid("smok")
