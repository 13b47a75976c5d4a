"""The single values of a cluster file: how each is spelled, and what is said when it is not.

Each type is a pydantic annotation: a function that takes what stands in the file and gives the value, or raises `wrong` with
problem, expectation and, where one can be guessed, what was probably meant.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from provisioner.model.disks import disk_problem, whole_disk
from provisioner.model.naming import bare_mac, is_windows_device
from provisioner.model.networks import parsed_address
from provisioner.model.scalars import Scalar, shortened

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*\.?"
)
_LIKE_AN_ADDRESS = re.compile(r"(^|\.)([0-9]+|0[xX][0-9a-fA-F]*)\.?$")
"""A last label that is a number: resolvers take such a name for an address, and no such domain exists (RFC 3696)."""
_VERSION = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+(-(alpha|beta|rc)\.[0-9]+)?")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")
_MIB = {"MiB": 1, "GiB": 1024}
_MOST_MEMORY_GIB = 12 * 1024
"""Of a VM of generation 2, on Windows Server 2016 and later."""
_MOST_DISK_GIB = 64 * 1024
"""Of a virtual hard disk in the format VHDX."""
_LONGEST_PATH = 150
"""Of a folder or an ISO: below it come the machine's name, its files, and Hyper-V's own folders with an id of 36 characters."""
_WHY_GIB = "Hyper-V counts in 1024s; GB would mean 1000s to some and 1024s to others"


def wrong(problem: str, expected: str = "", meant: str = "") -> PydanticCustomError:
    """A finding about one value, as a pydantic error."""
    return PydanticCustomError("finding", "{problem}", {"problem": problem, "expected": expected, "meant": meant})


def as_text(value: Any) -> str:
    """Texts as written, numbers included: `1.34` stays `1.34`."""
    if isinstance(value, str):
        return value
    if isinstance(value, Scalar):
        if not isinstance(value.value, bool):
            return value.text
        raise wrong(f"expected a string, got the boolean {value}", meant=f'"{value}"')
    raise wrong(f"expected a string, got {kind_of(value)}")


def shown(text: str) -> str:
    """A text as a finding repeats it: quoted, since spaces matter, and not too long."""
    short = shortened(text)
    return f"'{short}'" if short.isprintable() else ascii(short)


def kind_of(value: Any) -> str:
    """What a value is, to people."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "no value"
    meant = value.value if isinstance(value, Scalar) else value
    if isinstance(meant, bool):
        return "a boolean"
    return "a number" if isinstance(meant, int | float) else "a string"


def _label(value: Any) -> str:
    text = as_text(value)
    if not _LABEL.fullmatch(text):
        guess = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:63]
        raise wrong(
            f"{shown(text)} is not a DNS label",
            expected="a to z, 0 to 9 and hyphens, at most 63, as home-cp-1",
            meant=guess if _LABEL.fullmatch(guess) else "",
        )
    return text


def _host_name(value: Any) -> str:
    text = as_text(value)
    expected = "a name as hv01.lan, or an address"
    if found := re.fullmatch(r"([^:/\s\[\]]+|\[[^\]]*\]):([0-9]+)", text):
        alone = "a name or address; the port goes to port:"
        raise wrong(f"{shown(text)} has a port", expected=alone, meant=found[1].strip("[]"))
    if "://" in text:
        raise wrong(f"{shown(text)} is a URL", expected="a name or address", meant=_host_of(text))
    if problem := host_problem(text):
        raise wrong(f"{shown(text)} {problem}", expected=expected, meant=_without_dressing(text, is_host=True))
    return text


def host_problem(text: str) -> str:
    """Why no one can connect to a host of that name; empty where one could. Loopback is a host too: of a tunnel."""
    address = parsed_address(text)
    if address is None:
        if not _NAME.fullmatch(text):
            return "is neither a DNS name nor an address"
        return "" if not _LIKE_AN_ADDRESS.search(text) else "ends in a number like an address, but is not an address"
    return _unusable(address)


def _unusable(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return "names an adapter of this computer after the %, which other computers do not know"
    if address.is_unspecified or address.is_multicast or (address.version == 4 and address.is_reserved):
        return "is not the address of a single computer"
    return ""


def _without_dressing(text: str, *, is_host: bool) -> str:
    """The address or name inside of spaces or brackets, where there is one."""
    bare = text.strip().removeprefix("[").removesuffix("]")
    good = bare != text and (not host_problem(bare) if is_host else parsed_address(bare) is not None)
    return bare if good else ""


def _domain(value: Any) -> str:
    text = as_text(value)
    if not _NAME.fullmatch(text) or text != text.lower() or _LIKE_AN_ADDRESS.search(text):
        meant = text.strip(".").lower()
        good = _NAME.fullmatch(meant) and not _LIKE_AN_ADDRESS.search(meant)
        raise wrong(
            f"{shown(text)} is not a DNS domain", expected="a domain, as cluster.local", meant=meant if good else ""
        )
    return text


def _address(value: Any) -> str:
    text = as_text(value)
    bare, slash, _ = text.partition("/")
    if slash and parsed_address(bare) is not None:
        raise wrong(f"{shown(text)} has a prefix length", expected="an address alone", meant=bare)
    address = parsed_address(text)
    if address is None:
        meant = _without_dressing(text, is_host=False)
        raise wrong(f"{shown(text)} is not an IP address", expected="an address, as 192.168.1.21", meant=meant)
    if _unusable(address) or address.is_loopback or address.is_link_local:
        raise wrong(f"{text} cannot be the address of a machine", expected="an address of the LAN")
    return str(address)


def _network(value: Any) -> str:
    text = as_text(value)
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        pass
    else:
        if network.is_multicast or network.is_loopback or network.is_link_local or network.is_unspecified:
            raise wrong(f"{text} is reserved and cannot be used here", expected="a network, as 10.244.0.0/16")
        return str(network)
    try:
        meant = str(ipaddress.ip_network(text, strict=False)) if "/" in text else ""
    except ValueError:
        meant = ""
    problem = "has host bits set" if meant else "is not a network"
    raise wrong(f"{shown(text)} {problem}", expected="a network, as 10.244.0.0/16", meant=meant)


def _mac(value: Any) -> str:
    text = as_text(value)
    try:
        bare = bare_mac(text)
    except ValueError:
        raise wrong(f"{shown(text)} is not a MAC address", expected="12 hex digits, as 02-15-3A-00-00-11") from None
    if int(bare[:2], 16) & 1:
        raise wrong(f"{text} is a multicast address", expected="a unicast address: its second digit is even")
    if bare == "0" * 12:
        raise wrong("a MAC address of zeros means 'dynamic' in Hyper-V", expected="a unique address, or no mac: at all")
    return bare


def _version(value: Any) -> str:
    text = as_text(value)
    if not _VERSION.fullmatch(text):
        meant = f"v{text}" if _VERSION.fullmatch(f"v{text}") else ""
        raise wrong(f"{shown(text)} is not a version", expected="v and three numbers, as v1.2.3", meant=meant)
    return text


def _mib(value: Any, *, most_gib: int) -> int:
    """A size in MiB. Whole MiB only, unit always said."""
    text = as_text(value)
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise wrong(f"{shown(text)} is not a size", expected="a size, as 4 GiB or 4096 MiB")
    number, unit = found.groups()
    if unit not in _MIB:
        raise _no_unit(text, number, unit)
    mib = float(number) * _MIB[unit]
    if mib > most_gib * 1024:
        raise wrong(f"{text[:40]} is too large", expected=f"at most {most_gib} GiB")
    if mib != int(mib) or mib < 1:
        raise wrong(f"{shown(text)} is not a whole number of MiB", expected="whole MiB")
    if unit == "GiB" and "." in number:
        raise wrong(f"{shown(text)} has a fraction", expected="whole GiB, or MiB", meant=f"{int(mib)} MiB")
    return int(mib)


def _no_unit(text: str, number: str, unit: str) -> PydanticCustomError:
    if not unit:
        many = float(number) > 512  # more GiB than any of our machines has
        return wrong(f"{text} has no unit", expected="GiB or MiB", meant=f"{number} {'MiB' if many else 'GiB'}")
    guess = {"G": "GiB", "M": "MiB"}.get(unit[0].upper())
    why = f": {_WHY_GIB}" if unit.upper() in ("GB", "MB") else ""
    return wrong(f"{unit!r} is not a unit here{why}", expected="GiB or MiB", meant=f"{number} {guess}" if guess else "")


def _memory(value: Any) -> int:
    mib = _mib(value, most_gib=_MOST_MEMORY_GIB)
    if mib % 2:
        raise wrong(f"{mib} MiB is odd", expected="an even number of MiB: Hyper-V gives memory in pages of 2 MiB")
    return mib


def _disk(value: Any) -> int:
    mib = _mib(value, most_gib=_MOST_DISK_GIB)
    if mib % 1024:
        raise wrong(f"{mib} MiB is not a whole number of GiB", expected="whole GiB", meant=f"{-(-mib // 1024)} GiB")
    return mib // 1024


def _host_of(url: str) -> str:
    """The host of a URL; empty for one without a host, and for what is not a URL (a lone bracket raises in urlsplit)."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _url_parts(text: str, expected: str) -> SplitResult:
    """The parts of a URL whose host and port can be used. Raises `wrong`."""
    if re.search(r"\s", text) or not text.isprintable():
        meant = re.sub(r"\s+", "", text) if re.search(r"^\s|\s$", text) else re.sub(r"\s", "%20", text)
        good = meant.isprintable() and not _host_trouble(meant)
        raise wrong(f"{shown(text)} has a space", expected=expected, meant=meant if good else "")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise wrong(f"{shown(text)} is not a URL", expected=expected) from None
    if parts.scheme and parts.hostname and (trouble := _host_trouble(text)):
        raise wrong(f"{shown(text)}: {parts.hostname} {trouble}", expected=expected)
    if port == 0:
        raise wrong(f"{shown(text)} has port 0", expected=expected)
    return parts


def _host_trouble(url: str) -> str:
    host = _host_of(url)
    return host_problem(host) if host else "has no host"


def _endpoint(value: Any) -> str:
    text = as_text(value)
    expected = "https://NAME-OR-ADDRESS:PORT, as https://192.168.1.10:6443"
    parts = _url_parts(text, expected)
    if not parts.scheme or not parts.hostname:
        guess = f"https://{text if ':' in text else text + ':6443'}"
        raise wrong(f"{shown(text)} is not a URL", expected=expected, meant="" if _host_trouble(guess) else guess)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = f"https://{host}:{parts.port or 6443}"
    if parts.scheme != "https":
        raise wrong("the Kubernetes API is served over https only", expected=expected, meant=usual)
    if any((parts.username is not None, parts.query, parts.fragment, parts.path not in ("", "/"))):
        raise wrong(f"{shown(text)} has more than a host and a port", expected=expected, meant=usual)
    if parts.port is None:
        raise wrong(f"{shown(text)} has no port", expected=expected, meant=usual)
    return usual


def _iso_url(value: Any) -> str:
    text = as_text(value)
    expected = "https://... of an ISO"
    if not text.strip().startswith(("https://", "http://")) or not _url_parts(text, expected).hostname:
        raise wrong(f"{shown(text)} is not a URL that the host can download", expected=expected)
    return text


def _sha256(value: Any) -> str:
    text = as_text(value).replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise wrong(f"is not a SHA-256 ({len(text)} characters)", expected="64 hex digits")
    return text


def _device(value: Any) -> str:
    text = as_text(value)
    expected = "a whole disk, as /dev/sda"
    if problem := disk_problem(text):
        raise wrong(f"{shown(text)} {problem}", expected=expected, meant=whole_disk(text))
    return text


def _windows_path(value: Any) -> str:
    text = as_text(value)
    expected = r"a path on a volume of the host, as D:\vm"
    if re.match(r"[\\/]{2}", text):
        raise wrong(
            f"{shown(text)} is on a share: the host cannot forward your credentials to another computer",
            expected=expected,
        )
    if not re.match(r"[A-Za-z]:[\\/]", text):
        raise wrong(f"{shown(text)} is not an absolute path on Windows", expected=expected)
    drive, *parts = [part for part in re.split(r"[\\/]+", text) if part]
    for part in parts:
        if found := re.search(r'[<>"|?*:\x00-\x1f]', part):
            raise wrong(f"{found[0]!r} cannot be in a Windows path", expected=expected)
        if part.strip(". ") == "" or part != part.rstrip(". "):
            raise wrong(f"{shown(part)} in a path is changed by Windows", expected=expected)
        if is_windows_device(part):
            raise wrong(f"{shown(part)} is a device name in Windows", expected=expected)
    if len(text) > _LONGEST_PATH:
        raise wrong(f"the path has {len(text)} characters", expected=f"at most {_LONGEST_PATH}: Windows stops at 260")
    return "\\".join([drive, *parts]) if parts else f"{drive}\\"


def _san(value: Any) -> str:
    text = as_text(value)
    if problem := host_problem(text.removeprefix("*.")):
        meant = _without_dressing(text, is_host=True)
        raise wrong(f"{shown(text)} {problem}", expected="a name or an address", meant=meant)
    return text


def _vlan(value: Any) -> Any:
    if _meant(value) == 0:
        raise wrong("0 is not a VLAN that Hyper-V takes", expected="1 to 4094, or no vlan: for untagged")
    return _meant(value)


def _filled(value: Any) -> str:
    text = as_text(value)
    if not text.strip():
        raise wrong("the string is empty", expected="a name")
    if text != text.strip():
        raise wrong(f"{shown(text)} begins or ends with a space", expected="a name", meant=text.strip())
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise wrong(f"{shown(text)} has a control character", expected="a name")
    return text


def _user(value: Any) -> str:
    text = _filled(value)
    domain, slash, name = text.rpartition("\\")
    account, at, suffix = text.partition("@")
    if (slash and (not domain or not name or "\\" in domain)) or (at and not slash and not (account and suffix)):
        raise wrong(f"{shown(text)} is not an account name", expected=r"as hv01\provision, or provision@example.lan")
    return text


def _texts(pattern: str = "", *examples: str) -> WithJsonSchema:
    schema: dict[str, Any] = {"type": "string"}
    if pattern:
        schema["pattern"] = pattern
    if examples:
        schema["examples"] = list(examples)
    return WithJsonSchema(schema)


def _meant(value: Any) -> Any:
    """What an unquoted scalar means, for fields that are not strings. A date means nothing here and stays as it was written."""
    return value.value if isinstance(value, Scalar) and isinstance(value.value, int | float) else value


meant = BeforeValidator(_meant)
Text = Annotated[str, BeforeValidator(as_text)]
Bool = Annotated[bool, meant]
Filled = Annotated[str, BeforeValidator(_filled), _texts(r"\S")]
User = Annotated[str, BeforeValidator(_user), _texts(r"\S", r"hv01\provision")]
Label = Annotated[str, BeforeValidator(_label), _texts(rf"^{_LABEL.pattern}$", "home")]
HostName = Annotated[str, BeforeValidator(_host_name), _texts("", "hv01.lan", "192.168.1.5")]
DomainName = Annotated[str, BeforeValidator(_domain), _texts("", "cluster.local")]
Address = Annotated[str, BeforeValidator(_address), _texts("", "192.168.1.21")]
Network = Annotated[str, BeforeValidator(_network), _texts("/[0-9]+$", "10.244.0.0/16")]
Mac = Annotated[str, BeforeValidator(_mac), _texts("^([0-9A-Fa-f]{2}[-:.]?){5}[0-9A-Fa-f]{2}$", "02-15-3A-00-00-11")]
Version = Annotated[str, BeforeValidator(_version), _texts(rf"^{_VERSION.pattern}$", "v1.11.5")]
Memory = Annotated[int, BeforeValidator(_memory), _texts(r"^[0-9]+\s*(GiB|MiB)$", "4 GiB", "4096 MiB")]
Disk = Annotated[int, BeforeValidator(_disk), _texts(r"^[0-9]+\s*(GiB|MiB)$", "20 GiB")]
Endpoint = Annotated[str, BeforeValidator(_endpoint), _texts("^https://.+:[0-9]+/?$", "https://192.168.1.10:6443")]
IsoUrl = Annotated[str, BeforeValidator(_iso_url), _texts("^https?://")]
Sha256 = Annotated[str, BeforeValidator(_sha256), _texts("^([0-9A-Fa-f]{2}:?){32}$")]
Device = Annotated[str, BeforeValidator(_device), _texts("^/dev/", "/dev/sda")]
WindowsPath = Annotated[str, BeforeValidator(_windows_path), _texts(r"^[A-Za-z]:[\\/]", r"D:\vm")]
San = Annotated[str, BeforeValidator(_san), _texts("", "127.0.0.1", "api.home.lan")]
Vlan = Annotated[int, Field(ge=1, le=4094), BeforeValidator(_vlan)]
Port = Annotated[int, Field(ge=1, le=65535), meant]
Cpus = Annotated[int, Field(ge=1, le=2048), meant]
