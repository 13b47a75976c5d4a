"""What a journal must not hold."""

from __future__ import annotations

import re
from pathlib import Path

from provisioner.model.events import Note
from provisioner.store.journal import FileJournal
from provisioner.talos.configs import TalosConfigs
from tests.fakes.clock import BEGIN, FakeClock
from tests.unit.steps.world import cluster_of


def test_a_config_that_talos_quotes_is_in_no_journal(tmp_path: Path) -> None:
    """Talos names the line that it refuses, and lines of a config hold secrets that look like nothing."""
    configs = TalosConfigs(FakeClock())
    bundle = configs.new_bundle(cluster_of({}), "8899aabbccddeeff")
    secrets = [
        line.split(": ")[1]
        for line in configs.write_bundle(bundle).decode().splitlines()
        if re.search("(secret|token|id|key): ", line)
    ]
    assert len(secrets) >= 9
    journal = FileJournal(tmp_path)
    journal.emit(
        Note(t=BEGIN, at_s=0.0, level="warning", message="; ".join(f'invalid "{secret}"' for secret in secrets))
    )
    journal.close()
    written = (journal.folder / "events.jsonl").read_text()
    assert "invalid" in written
    assert [secret for secret in secrets if secret in written] == []
