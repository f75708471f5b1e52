from django.apps import AppConfig


class TerminalConfig(AppConfig):
    name = "exchange.terminal"
    label = "terminal"
