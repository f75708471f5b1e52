from django.apps import AppConfig


class KeysConfig(AppConfig):
    name = "exchange.platform.keys"
    label = "keys"
