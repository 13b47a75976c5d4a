"""Talos in the lab's world: what runs inside VMs and on other people's machines in the LAN, from power to `running`.

Rules only, no protocol: `provisioner.lab.machines` serves Talos' API from here.
"""
