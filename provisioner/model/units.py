"""Units and numbers of the field that more than one package needs."""

from __future__ import annotations

MIB = 2**20
GIB = 2**30
"""Bytes. Hyper-V counts in powers of 1024."""

LEAST_DISK_GIB = 6
"""What Talos needs of a disk at the least. Source: https://www.talos.dev/v1.11/introduction/system-requirements/"""

HTTP_PORT = 5985
"""WinRM's own port for HTTP, where it encrypts the messages itself. Any other port is taken for HTTPS."""
HTTPS_PORT = 5986
"""WinRM's own port for HTTPS. Source: https://learn.microsoft.com/windows/win32/winrm/installation-and-configuration-for-windows-remote-management"""
