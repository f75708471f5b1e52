"""The web process's application: REST, the admin and the pages. `manage.py web` serves it."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")
application = get_wsgi_application()

from django.urls import get_resolver  # noqa: E402 - needs Django's settings

from exchange.base import metrics  # noqa: E402
from exchange.base.env import env  # noqa: E402
from exchange.platform.keys import last_used  # noqa: E402
from risk.pretrade.refresher import refresher  # noqa: E402


def end_with(parent: multiprocessing.process.BaseProcess) -> None:
    """End this worker when granian's main process was killed: an orphan would keep the port.

    Not SIGTERM: no process is left that would insist if a request held it up.
    """
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


sys.setswitchinterval(0.0005)  # intake, replies and requests share one lock: hand it over often
supervisor = multiprocessing.parent_process()
if supervisor is not None:
    threading.Thread(target=end_with, args=[supervisor], name="end with parent", daemon=True).start()
get_resolver().url_patterns  # noqa: B018 - imports every view now and not at the first request
metrics.serve(env.exchange_metrics_port)
last_used.start()
refresher.start()
gc.freeze()  # what is loaded now stays: later collections need not look at it
