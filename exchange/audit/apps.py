from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "exchange.audit"
    label = "audit"

    def ready(self) -> None:
        from exchange.audit import signs  # noqa: F401 - hears signals
