from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    name = "exchange.platform.analytics"
    label = "analytics"
