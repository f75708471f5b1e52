"""`manage.py web`: REST, the admin and the pages, served by granian over WSGI."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from exchange.base.env import env
from exchange.platform.commands.process import become, require_free, require_key

BACKLOG = 1024
KILL_SECONDS = 10  # for requests under way, at the end


class Command(BaseCommand):
    help = "Serves REST, the admin and the pages on EXCHANGE_HTTP_PORT until SIGTERM."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        require_key()
        require_free(env.exchange_http_port, "EXCHANGE_HTTP_PORT")
        variables = {}
        if env.exchange_web_workers > 1:
            shared = env.exchange_home / "metrics"
            shared.mkdir(parents=True, exist_ok=True)
            for old in shared.glob("*.db"):
                old.unlink()
            variables["PROMETHEUS_MULTIPROC_DIR"] = str(shared)
        become(
            "granian",
            "exchange.wsgi:application",
            *("--interface", "wsgi"),
            *("--host", env.exchange_bind),
            *("--port", str(env.exchange_http_port)),
            *("--workers", str(env.exchange_web_workers)),
            *("--blocking-threads", str(env.exchange_web_threads)),
            *("--blocking-threads-idle-timeout", "600"),
            *("--backlog", str(BACKLOG)),
            *("--http", "1"),
            "--no-ws",
            "--respawn-failed-workers",
            *("--workers-kill-timeout", str(KILL_SECONDS)),
            *("--log-level", "error"),
            **variables,
        )
