from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "exchange.platform.audit"
    label = "audit"

    def ready(self) -> None:
        from exchange.platform.audit import sign_in_signals  # noqa: F401 - receives signals
