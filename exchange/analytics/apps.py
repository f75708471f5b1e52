from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    name = "exchange.analytics"
    label = "analytics"
