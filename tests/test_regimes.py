"""Every agent in every training regime: no leaks, the same bits again, resumed, and peeked at.

By default each agent and each regime is tried at least once; ``-m slow`` tries every agent in every regime.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from episodes import REGIMES, Player, assert_no_leak, played, settings_of
from equality import assert_equal
from spellings import EVERY

import agents

ALL = [
    (spelling, regime)
    for spelling, regime in itertools.product(EVERY, REGIMES)
    if settings_of(agents.make(spelling), regime) is not None
]


def covering() -> list[tuple[str, dict[str, Any]]]:
    """Returns pairs that hold each agent and each regime: always the agent and regime that were used least."""
    used: dict[str, int] = {}
    chosen = []
    while len(used) < len({name for name, _ in ALL}) + len({str(regime) for _, regime in ALL}):
        fresh = min(ALL, key=lambda pair: used.get(pair[0], 0) + used.get(str(pair[1]), 0))
        chosen.append(fresh)
        for each in (fresh[0], str(fresh[1])):
            used[each] = used.get(each, 0) + 1
    return chosen


COVERING = covering()


def check(spelling: str, regime: dict[str, Any]) -> None:
    settings = settings_of(agents.make(spelling), regime)
    assert settings is not None, "only such pairs are tried"
    whole = assert_no_leak(spelling, settings)
    assert_equal(played(spelling, settings), whole)
    first = Player(spelling, settings)
    first.begin()
    first.query()
    resumed = Player(spelling, settings)
    resumed.begin(first.state())
    resumed.query()
    assert_equal(resumed.queries[-1], whole["queries"][-1])
    assert_equal(resumed.shown[-1], whole["shown"][-1])
    assert_equal(resumed.state(), {"env": whole["env"], "agent": whole["agent"]})


@pytest.mark.parametrize(("spelling", "regime"), COVERING, ids=str)
def test_an_episode_leaks_nothing_repeats_and_resumes(spelling: str, regime: dict[str, Any]) -> None:
    check(spelling, regime)


@pytest.mark.slow
@pytest.mark.parametrize(("spelling", "regime"), [pair for pair in ALL if pair not in COVERING], ids=str)
def test_every_other_episode_leaks_nothing_repeats_and_resumes(spelling: str, regime: dict[str, Any]) -> None:
    check(spelling, regime)


@pytest.mark.parametrize("regime", REGIMES, ids=str)
def test_peek_is_what_step_gives(regime: dict[str, Any]) -> None:
    settings = settings_of(agents.make("random"), regime)
    assert settings is not None, "random needs nothing"
    player = Player("random", {"validation": 100, **settings, "allow_peek": True})
    player.begin()
    for _ in range(2):
        query = player.agent.act(player.shown[-1][0])
        earned = player.env.peek([player.env.view.unlabeled[:5], query])
        assert player.query() == earned[1]
