"""Every registered agent but ceilings, spelled so that a query of a small pool takes a moment."""

from __future__ import annotations

import agents
from agents import index
from scenarios.catalog.all_strategies import IN_A_MOMENT as QUICK

EVERY = [QUICK.get(name, name) for name in agents.names() if not index.is_ceiling(name)]
