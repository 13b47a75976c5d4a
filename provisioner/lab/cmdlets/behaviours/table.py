"""All behaviours: importing an area adds its cmdlets to the table."""

from provisioner.lab.cmdlets.behaviours import BEHAVIOURS, shell, switches, vms

__all__ = ["BEHAVIOURS", "shell", "switches", "vms"]
