from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "exchange.audit"
    label = "audit"

    def ready(self) -> None:
        from exchange.audit import record_admin, signs  # noqa: F401 - registers a page and hears signals
