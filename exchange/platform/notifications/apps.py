from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "exchange.platform.notifications"
    label = "notifications"
