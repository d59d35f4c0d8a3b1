"""The real `kie-watcher` without its shortest wait between two polls.

With it, ten thousand polls would take nine minutes.
"""

from datetime import timedelta

from watcher import poller
from watcher.cli.main import main

if __name__ == "__main__":
    poller.SHORTEST_WAIT = timedelta(0)
    main()
