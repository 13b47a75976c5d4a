"""The workflows as tables: which steps each has, in the order of its screens, and what each step waits for. Light to import: help and
completion read them.
"""

from __future__ import annotations

from dataclasses import replace

from provisioner.model.steps import Order, StepId

UP = (
    Order(step=StepId.HOST),
    Order(step=StepId.SWITCH, after=(StepId.HOST,)),
    Order(step=StepId.IMAGE, after=(StepId.HOST, StepId.SWITCH)),  # making the switch breaks a download
    Order(step=StepId.SECRETS),
    Order(step=StepId.VM, after=(StepId.SWITCH, StepId.IMAGE, StepId.SECRETS), restarts_in_turns=True),
    Order(step=StepId.MAINTENANCE, after=(StepId.VM,)),
    Order(step=StepId.CONFIG, after=(StepId.MAINTENANCE, StepId.SECRETS)),
    # A worker's API opens only after a control plane's trustd answers.
    Order(step=StepId.INSTALL, after=(StepId.CONFIG,), workers_after=(StepId.BOOTSTRAP,)),
    Order(step=StepId.BOOTSTRAP, after_first=(StepId.INSTALL,)),  # etcd begins with one member
    Order(step=StepId.EJECT, after=(StepId.INSTALL,)),
    Order(step=StepId.HEALTH, after=(StepId.BOOTSTRAP, StepId.INSTALL)),  # a machine that failed cannot become healthy
    Order(step=StepId.ACCESS, after=(StepId.BOOTSTRAP,)),
)

# VMs hold the switch and the image, and the mark that proves what is ours hangs on the secrets.
DOWN = (
    Order(step=StepId.REMOVE),
    Order(step=StepId.SWITCH, after=(StepId.REMOVE,)),
    Order(step=StepId.IMAGE, after=(StepId.REMOVE,)),
    Order(step=StepId.ACCESS, after=(StepId.REMOVE,)),
    Order(step=StepId.SECRETS, after=(StepId.REMOVE, StepId.SWITCH, StepId.IMAGE, StepId.ACCESS)),
)

REBUILD = (
    Order(step=StepId.REMOVE),
    *(order if order.after else replace(order, after=(StepId.REMOVE,)) for order in UP),
)
