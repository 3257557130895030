"""What a scenario asks of all its arms together, beside curves and differences: names only, no numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alenv.errors import AlenvError, unknown


@dataclass(frozen=True)
class Group:
    """Strategies that share a training: a regime, or a rung of a ladder.

    Attributes:
        name: Name of the training.
        arms: Strategy -> label of its arm.
        order: The strategies in the order of the tables; empty for that of ``arms``.
    """

    name: str
    arms: Mapping[str, str]
    order: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", tuple(self.order) or tuple(self.arms))


@dataclass(frozen=True)
class TwoWay:
    """Training regimes by strategies, and what is training and what is choice in the lead of a method.

    Attributes:
        regimes: The regimes; the first one is plain training.
        reference: The strategy that others are subtracted from within each regime; every regime has it.
        leads: Method -> the regime it came with. Its lead over the reference in plain training is what the training
            gives (the reference with it minus without) and what the choice gives (the method minus the reference).

    Raises:
        UnknownName: A regime lacks the reference, or a method is not in the regime it came with.
    """

    regimes: tuple[Group, ...]
    reference: str
    leads: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for regime in self.regimes:
            if self.reference not in regime.arms:
                raise unknown(f"strategy of regime {regime.name!r} named", self.reference, regime.arms)
        for method, name in self.leads.items():
            if method not in self.regime(name).arms:
                raise unknown(f"strategy of regime {name!r} named", method, self.regime(name).arms)

    def regime(self, name: str) -> Group:
        """Returns a regime.

        Raises:
            UnknownName: There is none of this name.
        """
        found = {regime.name: regime for regime in self.regimes}
        if name not in found:
            raise unknown("regime", name, found)
        return found[name]

    @property
    def labels(self) -> tuple[str, ...]:
        """All arms."""
        return tuple(label for regime in self.regimes for label in regime.arms.values())


@dataclass(frozen=True)
class Ladder:
    """The same strategies on several rungs, from cheap training to the one that counts: do they rank alike?

    Attributes:
        rungs: The rungs.

    Raises:
        AlenvError: There are fewer than two rungs, or they hold other strategies.
    """

    rungs: tuple[Group, ...]

    def __post_init__(self) -> None:
        if len(self.rungs) < 2 or len({rung.order for rung in self.rungs}) > 1:
            named = ", ".join(rung.name for rung in self.rungs) or "no rung"
            raise AlenvError(
                f"A ladder has {named}; give two rungs or more, all with the same strategies in one order."
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """All arms."""
        return tuple(label for rung in self.rungs for label in rung.arms.values())


Analysis = TwoWay | Ladder


def from_json(found: Mapping[str, Any]) -> Analysis:
    """Reads what ``dataclasses.asdict`` and JSON have made of an analysis."""
    if "rungs" in found:
        return Ladder(tuple(Group(**rung) for rung in found["rungs"]))
    return TwoWay(**{**found, "regimes": tuple(Group(**regime) for regime in found["regimes"])})
