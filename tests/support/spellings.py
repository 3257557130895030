"""Every registered agent, spelled so that a query of a small pool takes a moment."""

from __future__ import annotations

import agents

# Those that train networks of their own, or sample: as few numbers as will do.
QUICK = {"vaal": "vaal:width=0.03125:epochs=1", "batch_bald": "batch_bald:samples=500"}
EVERY = [QUICK.get(name, name) for name in agents.names()]
