"""The back office's site: lets in only who has given both factors and whose session is not over."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST
from unfold.sites import UnfoldAdminSite

from exchange.platform.members import staff_login, staff_sessions
from exchange.platform.members.models import StaffSession, User

RECENT = 30  # sign-ins on one's own page

_careful = [sensitive_post_parameters("code"), csrf_protect, never_cache]


class StaffSite(UnfoldAdminSite):
    login_form = staff_login.PasswordForm

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and staff_sessions.of(request) is not None

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("login/code/", self.login_code, name="login_code"),
            path("login/phone/", self.login_phone, name="login_phone"),
            path("sign-ins/", self.admin_view(self.sign_ins), name="sign_ins"),
            path("sign-ins/end/", self.admin_view(require_POST(self.end_others)), name="sign_ins_end"),
        ]
        return [*own, *super().get_urls()]

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "GET":
            if self.has_permission(request):
                return HttpResponseRedirect(reverse("admin:index"))
            if why := staff_sessions.why_over(request):
                messages.info(request, _("Your session has ended: %(why)s.") % {"why": why})
                request.session.flush()
        context = {
            **self.each_context(request),
            "title": _("Log in"),
            "app_path": request.get_full_path(),
            **(extra_context or {}),
        }
        view = staff_login.PasswordView.as_view(
            extra_context=context,
            authentication_form=self.login_form,
            template_name=self.login_template or "admin/login.html",
        )
        answer: HttpResponse = view(request)  # type: ignore[assignment]
        return answer

    @method_decorator(_careful)
    def login_code(self, request: HttpRequest) -> HttpResponse:
        return staff_login.code(self, request)

    @method_decorator(_careful)
    def login_phone(self, request: HttpRequest) -> HttpResponse:
        return staff_login.phone(self, request)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST":
            staff_sessions.finish(request)
        return super().logout(request, extra_context)

    def sign_ins(self, request: HttpRequest) -> HttpResponse:
        """One's own; those of others are on the page of `StaffSession`."""
        current = staff_sessions.of(request)
        shown = StaffSession.objects.filter(user=cast(User, request.user)).order_by("-pk")[:RECENT]
        context = {
            **self.each_context(request),
            "title": _("Your sign-ins"),
            "sessions": shown,
            "current": current.pk if current else None,
        }
        return TemplateResponse(request, "staff/sign_ins.html", context)

    def end_others(self, request: HttpRequest) -> HttpResponse:
        ended = staff_sessions.end_others(request)
        messages.success(request, _("%(count)d other sessions ended.") % {"count": ended})
        return HttpResponseRedirect(reverse("admin:sign_ins"))
