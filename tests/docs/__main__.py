"""`make docs`: writes what the docs take from the program.

    python -m tests.docs [record]

With `record`, the runs behind the screens are made anew first; it takes a minute.
"""

from __future__ import annotations

import sys

from tests.docs.pages import pages
from tests.docs.recording import ROOT, record


def main() -> int:
    if sys.argv[1:] == ["record"]:
        record()
    elif sys.argv[1:]:
        sys.stderr.write(f"{(__doc__ or '').strip()}\n")
        return 2
    for path, text in pages().items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
