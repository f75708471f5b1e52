#!/usr/bin/env python3
"""Django's command line: `manage.py help` lists what there is."""

import os
import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["up"]:  # finds the values that the settings need, so it comes before them
        from exchange.embedded.up import main

        sys.exit(main())
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
