from django.apps import AppConfig


class BackofficeConfig(AppConfig):
    name = "exchange.backoffice"
    label = "backoffice"
