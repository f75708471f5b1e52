#!/usr/bin/env python3
"""Django's command line: `manage.py help` lists what there is."""

import os
import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["up"]:  # finds the values that the settings need, so it comes before them
        from exchange.embedded.up import main

        sys.exit(main())
    if sys.argv[1:2] == ["bench"]:  # has an installation of its own, whose settings it makes
        from exchange.bench import main as bench

        sys.exit(bench.main(sys.argv[2:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")
    if sys.argv[1:2] and sys.argv[1] in ("web", "celery_worker", "celery_beat"):
        # They become another program, which loads Django's apps itself: no need to do it twice.
        from importlib import import_module

        from exchange.platform.commands.audited import recorded

        name = f"exchange.operations.management.commands.{sys.argv[1]}"
        with recorded(sys.argv):
            import_module(name).Command().run_from_argv(sys.argv)
    from exchange.platform.commands.audited import execute

    execute(sys.argv)
