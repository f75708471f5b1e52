"""Addresses of the terminal and of what its pages need beside the API."""

from __future__ import annotations

from django.urls import path
from django.views.i18n import set_language

from exchange.terminal import brand, session, views

urlpatterns = [
    path("", views.front, name="front"),
    path("trade/", views.front),
    path("trade/session", session.session, name="trade-session"),
    path("trade/<str:slug>", views.trade, name="trade"),
    path("language", set_language, name="language"),
    path("brand/<str:code>.css", brand.stylesheet, name="brand-stylesheet"),
    path("brand/<str:code>/logo", brand.logo, name="brand-logo"),
]
