"""`python -m watcher`: the same as the command `kie-watcher`."""

from __future__ import annotations

from watcher.cli.main import main

if __name__ == "__main__":
    main()
