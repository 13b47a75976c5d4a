"""Reading a cluster file from end to end; the loader of its version does the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.clusterfile.settings import Setting
from provisioner.errors import Fault, Finding, SourceLocation
from provisioner.model.cluster import Cluster
from provisioner.model.scalars import Scalar

if TYPE_CHECKING:
    from provisioner.clusterfile.tree import Tree


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A cluster file that may be used."""

    cluster: Cluster
    warnings: tuple[Finding, ...]


def load_cluster(path: Path, *, overrides: Mapping[str, Setting] | None = None) -> Loaded:
    """The cluster of the file. `overrides` holds `host` and `user` from option or environment.

    Raises a Fault P-FILE-FINDINGS that carries every finding, warnings included; P-FILE-NOTFOUND when it cannot be opened.
    """
    from provisioner.clusterfile.tree import TooLarge, Unreadable, read_small, read_trees

    shown = _shown(path)
    try:
        raw = read_small(path)
    except TooLarge as error:
        start = SourceLocation(file=shown, line=1, column=1)
        raise _findings(shown, [Finding(place=start, path="", problem=str(error), expected="a small file")]) from None
    except Unreadable as error:
        raise Fault(
            "P-FILE-NOTFOUND",
            f"{shown} cannot be read",
            expected="a regular file that you may read",
            seen=(str(error),),
            next_steps=(f"make {shown} readable for you",),
        ) from None
    tree = read_trees(raw, shown)[0]
    cluster: Cluster | None = None
    findings = list(tree.findings)
    if isinstance(tree.value, dict):
        version = _version(tree)
        loader = None if version is None else _LOADERS.get(version)
        if loader:
            cluster, more = loader(tree, path, overrides or {})
            findings += more
        else:
            findings.append(_no_loader(tree))
    elif not findings:
        findings.append(
            Finding(place=tree.place(()), path="", problem="expected a mapping", expected="fields, as host: hv01.lan")
        )
    findings.sort(key=lambda finding: (finding.place.file, finding.place.line, finding.place.column))
    if cluster is None or any(finding.severity == "error" for finding in findings):
        raise _findings(shown, findings)
    return Loaded(cluster=cluster, warnings=tuple(findings))


def _findings(shown: str, findings: Sequence[Finding]) -> Fault:
    errors = sum(finding.severity == "error" for finding in findings)
    return Fault(
        id="P-FILE-FINDINGS",
        message=f"{'1 finding' if errors == 1 else f'{errors} findings'} in {shown}",
        findings=findings,
        next_steps=[f"fix the lines named, then run provision config check {shown}"],
    )


def _load_version1(tree: Tree, path: Path, overrides: Mapping[str, Setting]) -> tuple[Cluster, list[Finding]]:
    from provisioner.clusterfile.build import build_cluster
    from provisioner.clusterfile.checks import check
    from provisioner.clusterfile.reading import read_fields

    checked, findings = read_fields(tree)
    draft = build_cluster(checked, file=path, overrides=overrides)
    return draft.cluster, [*findings, *draft.findings, *check(checked, draft)]


_LOADERS: Mapping[int, Callable[[Tree, Path, Mapping[str, Setting]], tuple[Cluster, list[Finding]]]] = {
    1: _load_version1,
}


def _version(tree: Tree) -> int | None:
    """The version of the format; None for what is not a whole number."""
    given = tree.value.get("version")
    meant = given.value if isinstance(given, Scalar) else None
    return meant if type(meant) is int else None


def _no_loader(tree: Tree) -> Finding:
    version, newest = _version(tree), max(_LOADERS)
    if tree.value.get("version") is None:
        problem, meant = "is required", f"version: {newest}"
    elif version is not None and version > newest:
        problem, meant = f"version {version} is newer than this program", ""
    else:
        problem, meant = "is not a version of this format", f"version: {newest}"
    return Finding(
        place=tree.place(("version",)),
        path="version",
        problem=problem,
        expected=f"version: {newest}",
        did_you_mean=meant,
    )


def _shown(path: Path) -> str:
    """As a user would name it: relative to where they stand, when it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):  # below another folder; the working folder is gone
        return str(path)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the newest version, for editors (draft 2020-12)."""
    from provisioner.clusterfile.version1 import ClusterFile

    schema = ClusterFile.model_json_schema()
    _describe({ClusterFile.__name__: schema, **schema["$defs"]})
    described: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_tidy(schema)}
    described["title"] = "provision cluster file"
    for fields in (described, *described["$defs"].values()):
        for key, unit in (("memory", "MiB"), ("disk", "GiB")):
            field = fields.get("properties", {}).get(key)
            if field and isinstance(field.get("default"), int):
                field["default"] = f"{field['default']} {unit}"
    return described


def _describe(schemas: Mapping[str, dict[str, Any]]) -> None:
    """Gives each field the text below it. pydantic can do that too, but for every command: it reads the source as each class is made."""
    import ast
    import inspect

    from provisioner.clusterfile import version1

    classes = [node for node in ast.parse(inspect.getsource(version1)).body if isinstance(node, ast.ClassDef)]
    texts = {
        (of.name, field.target.id): inspect.cleandoc(text.value.value)
        for of in classes
        for field, text in pairwise(of.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }
    for name, schema in schemas.items():
        fields = schema.get("properties", {})
        for key, field in fields.items():
            origins = (texts.get((of.__name__, key)) for of in getattr(version1, name).__mro__)
            if text := next((text for text in origins if text), ""):
                fields[key] = dict(sorted({**field, "description": text}.items()))


def _tidy(node: Any, *, names: bool = False) -> Any:
    """Without generated titles and without `null`: a field that is left out is not written at all.

    A value of two forms may fit both (a patch by file is a mapping too), so `anyOf` takes the place of `oneOf`. `names` says that the keys of this mapping are field names, which may be called `title` or `default` too.
    """
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    if names:
        return {key: _tidy(value) for key, value in node.items()}
    kept = {
        "anyOf" if key == "oneOf" else key: _tidy(value, names=key in ("properties", "$defs"))
        for key, value in node.items()
        if key != "title" and not (key == "default" and value is None)
    }
    return _without_null(kept)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    forms = schema.get("anyOf", [])
    others = [form for form in forms if form != {"type": "null"}]
    if len(others) == len(forms):
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**others[0], **rest} if len(others) == 1 else {**rest, "anyOf": others}
