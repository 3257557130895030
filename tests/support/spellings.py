"""Every registered agent, spelled so that a query of a small pool takes a moment."""

from __future__ import annotations

import agents

# Those that train networks of their own, or sample: as few numbers as will do.
QUICK = {
    "vaal": "vaal:width=0.03125:epochs=1",
    "batch_bald": "batch_bald:samples=500",
    "uncertain_gcn": "uncertain_gcn:steps=2",
    "core_gcn": "core_gcn:steps=2",
    "ta_vaal": "ta_vaal:width=0.03125:epochs=1",
    "dal": "dal:sub_batches=2:epochs=2",
    "sraal": "sraal:width=0.03125:latent=8:epochs=1",
    "vab_al": "vab_al:epochs=1:samples=2",
    "consistency": "consistency:views=2",
    "asal": "asal:width=0.25:epochs=2:steps=2:latent=8",
}
EVERY = [QUICK.get(name, name) for name in agents.names()]
