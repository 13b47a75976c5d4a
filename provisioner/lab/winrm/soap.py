"""WS-Management envelopes: requests read, answers and faults written. Texts and numbers only, nothing of what they set in motion."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from provisioner.lab.winrm.exchange import Caller

S = "http://www.w3.org/2003/05/soap-envelope"
A = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
W = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
P = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
X = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
N = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
POWERSHELL = "http://schemas.microsoft.com/powershell"
FAULT = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
CONFIG = "http://schemas.microsoft.com/wbem/wsman/1/config"

CMD_URI = f"{RSP}/cmd"
POWERSHELL_URI = f"{POWERSHELL}/"

_FAULT_ACTION = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
_FAULT_DETAIL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/"


class Fault(Exception):
    """A WS-Management fault. `code` is the number that Windows clients show: WSManFault's Code, a Win32 or WSMan error."""

    def __init__(self, code: int, subcode: str, reason: str, *, detail: str = "", receiver: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.subcode = subcode
        self.reason = reason
        self.detail = detail
        self.receiver = receiver


ACCESS_DENIED = 5
INVALID_PARAMETER = 87
ABORTED = 995
TIMED_OUT = 0x80338029
UNKNOWN_SELECTORS = 0x8033805B
UNKNOWN_RESOURCE = 0x8033803B
ENVELOPE_TOO_LARGE = 0x80338111
SHELL_QUOTA = 0x803381A5
COMMAND_QUOTA = 0x803381E9
OPERATION_QUOTA = 0x803381A6


def timed_out() -> Fault:
    """Not an error: there was no output within the OperationTimeout; the client asks again."""
    return Fault(TIMED_OUT, "w:TimedOut", "The operation ran past its OperationTimeout.", receiver=True)


def unknown_shell() -> Fault:
    reason = "No shell matches the selectors of this request."
    return Fault(UNKNOWN_SELECTORS, "w:InvalidSelectors", reason, detail="UnexpectedSelectors")


def unknown_command() -> Fault:
    """The same number as for a shell: Windows tells the two apart by words alone."""
    reason = "No command with that identifier exists in this shell."
    return Fault(UNKNOWN_SELECTORS, "w:InvalidSelectors", reason, detail="UnexpectedSelectors")


def invalid(reason: str) -> Fault:
    return Fault(INVALID_PARAMETER, "w:InvalidParameter", reason, detail="InvalidValue")


def aborted(reason: str) -> Fault:
    return Fault(ABORTED, "w:InternalError", reason, receiver=True)


def quota(code: int, reason: str) -> Fault:
    return Fault(code, "w:QuotaLimit", reason, receiver=True)


@dataclass
class Request:
    """One request, with what the connection knows about its sender."""

    action: str
    uri: str
    message_id: str
    to: str
    timeout_s: float
    max_envelope: int
    """In bytes: what the client takes in one answer."""
    selectors: dict[str, str]
    options: dict[str, str]
    body: ET.Element
    caller: Caller
    put_back: Callable[[], None] = field(default=lambda: None)
    """Set by an operation that consumed something: undoes it, if the answer cannot be delivered."""

    @property
    def user(self) -> str:
        return self.caller.identity.user

    @property
    def verb(self) -> str:
        """The last part of the action: Create, Receive, ..."""
        return self.action.rsplit("/", 1)[-1]

    def find(self, path: str) -> ET.Element:
        """An element of the body that must be there, by a path in the shell's namespace."""
        found = self.body.find("/".join(f"{{{RSP}}}{part}" for part in path.split("/")))
        if found is None:
            raise Fault(INVALID_PARAMETER, "w:SchemaValidationError", f"{self.verb} without {path}")
        return found


_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?")


def seconds_of(duration: str | None, default: float) -> float:
    """`PT20S` -> 20.0; what is no xs:duration gives the default."""
    match = _DURATION.fullmatch((duration or "").strip())
    if not match:
        return default
    days, hours, minutes, seconds = match.groups()
    return int(days or 0) * 86400 + int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0)


def parse(envelope: bytes, caller: Caller) -> Request:
    """Raises ET.ParseError for what is no XML and Fault for what is no envelope."""
    root = ET.fromstring(envelope)  # noqa: S314 - Expat itself limits what entities may grow to; input is the lab's own clients'
    header, body = root.find(f"{{{S}}}Header"), root.find(f"{{{S}}}Body")
    if header is None or body is None:
        raise Fault(INVALID_PARAMETER, "w:SchemaValidationError", "This is no SOAP envelope with Header and Body.")

    def text(namespace: str, name: str) -> str:
        return (header.findtext(f"{{{namespace}}}{name}") or "").strip()

    def pairs(outer: str, inner: str) -> dict[str, str]:
        found = header.iterfind(f"{{{W}}}{outer}/{{{W}}}{inner}")
        return {element.get("Name", ""): element.text or "" for element in found}

    size = text(W, "MaxEnvelopeSize")
    return Request(
        action=text(A, "Action"),
        uri=text(W, "ResourceURI"),
        message_id=text(A, "MessageID"),
        to=text(A, "To"),
        timeout_s=seconds_of(text(W, "OperationTimeout"), 60.0),
        max_envelope=int(size) if size.isdecimal() else 153600,
        selectors=pairs("SelectorSet", "Selector"),
        options=pairs("OptionSet", "Option"),
        body=body,
        caller=caller,
    )


def text_of(element: ET.Element, name: str) -> str:
    """The texts of all children of that name in the shell's namespace, joined."""
    return "".join(child.text or "" for child in element.iterfind(f"{{{RSP}}}{name}"))


def decoded(text: str | None) -> bytes:
    """Base64 of a stream or an argument."""
    try:
        return base64.b64decode(text or "")
    except binascii.Error as error:
        raise invalid("The content of a stream is not base64.") from error


def answer(action: str, relates_to: str, body: str) -> bytes:
    """`relates_to` is the request's MessageID, letter by letter: clients compare."""
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{S}" xmlns:a="{A}" xmlns:x="{X}" xmlns:w="{W}" xmlns:n="{N}"'
        f' xmlns:rsp="{RSP}" xmlns:p="{P}"><s:Header><a:Action>{escape(action)}</a:Action>'
        f"<a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID><a:To>{A}/role/anonymous</a:To>"
        f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def fault_answer(fault: Fault, relates_to: str, machine: str) -> bytes:
    detail = f"<w:FaultDetail>{_FAULT_DETAIL}{fault.detail}</w:FaultDetail>" if fault.detail else ""
    body = (
        f"<s:Fault><s:Code><s:Value>s:{'Receiver' if fault.receiver else 'Sender'}</s:Value>"
        f"<s:Subcode><s:Value>{fault.subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{escape(fault.reason)}</s:Text></s:Reason>'
        f'<s:Detail>{detail}<f:WSManFault xmlns:f="{FAULT}" Code="{fault.code}" Machine={quoteattr(machine)}>'
        f"<f:Message>{escape(fault.reason)}</f:Message></f:WSManFault></s:Detail></s:Fault>"
    )
    return answer(_FAULT_ACTION, relates_to, body)
