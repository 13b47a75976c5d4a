"""Which cluster file a command is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.cli.loading import cluster_file
from provisioner.clusterfile import Settings
from provisioner.errors import Fault


def test_without_a_name_the_only_file_of_the_user_is_meant(tmp_path: Path) -> None:
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    for path in (own / "one.yaml", shipped / "lab.yaml"):
        path.parent.mkdir()
        path.write_text("version: 1\n")
    settings = Settings(home=tmp_path, folders=(own, shipped), cluster="", overrides={})
    assert cluster_file(settings) == own / "one.yaml"
    (own / "two.yaml").write_text("version: 1\n")
    with pytest.raises(Fault, match="which cluster") as several:
        cluster_file(settings)
    assert several.value.seen == ("there are one, two",)
    (own / "one.yaml").unlink()
    (own / "two.yaml").unlink()
    with pytest.raises(Fault, match="no cluster was named"):
        cluster_file(settings)
