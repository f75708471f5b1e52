from django.apps import AppConfig


class EventsConfig(AppConfig):
    name = "exchange.events"
    label = "events"
