"""The lab's WinRM: HTTP and HTTPS, sign-in, WS-Management, PowerShell and cmd shells, spoken to by real clients.

endpoint   starts, stops, counts             network    the world's link, on loopback sockets
http       one thread per connection         auth       Basic, NTLM, Negotiate, certificates, encryption (ntlm: its acceptor)
soap       envelopes and faults              wsman      operations on shells
shells     what shells have in common        channel    output until it is fetched
psrp       a shell served by psrpcore        runspace, binding, values   the lab's own PowerShell, as much as functions need
cmd        the cmd shell                     fault_injection  faults on demand
exchange   what HTTP and WSMan hand each other
"""

from provisioner.lab.winrm.endpoint import WinRmEndpoint
from provisioner.lab.winrm.shells import Limits
from provisioner.lab.winrm.stats import Stats

__all__ = ["Limits", "Stats", "WinRmEndpoint"]
