from django.apps import AppConfig


class PlatformConfig(AppConfig):
    name = "exchange.platform"
    label = "platform"
