from django.apps import AppConfig


class PlatformConfig(AppConfig):
    name = "exchange.operations"
    label = "platform"
