from django.apps import AppConfig


class EventsConfig(AppConfig):
    name = "exchange.platform.events"
    label = "events"
