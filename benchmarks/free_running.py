"""The real `kie-watcher`, its one brake off: it may poll again at once.

Ten thousand polls would else take nine minutes, for a poll never follows another at once.
"""

from datetime import timedelta

from watcher import poller
from watcher.cli.main import main

if __name__ == "__main__":
    poller.SHORTEST_WAIT = timedelta(0)
    main()
