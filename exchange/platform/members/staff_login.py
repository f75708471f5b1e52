"""Signing in to the back office: e-mail and password, then a code of the phone; at the first time, the phone.

    /admin/login/        password           right: remembered in the session for five minutes, no user is signed in
    /admin/login/phone/  without a phone    takes the enrolment code; then shows a secret, and takes a first code of it
    /admin/login/code/   with one           takes a code

Only the code signs in. A wrong one counts like a wrong password: see `members.lockout`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import segno
from django import forms
from django.contrib import messages
from django.contrib.admin.sites import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME, login
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from exchange.base.http.trace_middleware import trace_id
from exchange.platform.members import devices, enrolment, lockout, second_factor, selectors, staff_sessions
from exchange.platform.members.models import User, UserManager

PENDING = "password_given"
PATIENCE = timedelta(minutes=5)  # from the password to the code
DEVICE_COOKIE = "staff_device"
DEVICE_KEPT = timedelta(days=400)


class PasswordForm(AuthenticationForm):
    def clean_username(self) -> str:
        return UserManager.normalize_email(self.cleaned_data["username"])


class CodeForm(forms.Form):
    wrong = _("That code is wrong, or was used before. Wait for the next one.")
    code = forms.RegexField(
        r"^\s*\d{3} ?\d{3}\s*$",
        label=_("Code"),
        max_length=9,
        error_messages={"invalid": _("A code has six digits.")},
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": ""}
        ),
    )


class EnrolmentForm(forms.Form):
    wrong = _("That code is wrong, or a newer one has been given.")
    code = forms.RegexField(
        r"^\s*([A-Za-z2-7]{4}[ -]?){4}\s*$",
        label=_("Enrolment code"),
        max_length=30,
        error_messages={"invalid": _("An enrolment code has sixteen letters and digits.")},
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "autofocus": ""}),
    )


class PasswordView(LoginView):
    """Django's, but a right password alone does not sign in."""

    def form_valid(self, form: Any) -> HttpResponse:
        user = form.get_user()
        self.request.session.cycle_key()
        self.request.session[PENDING] = {
            "user": str(user.pk),
            "backend": user.backend,
            "hash": user.get_session_auth_hash(),
            "at": time.time(),
        }
        return _to("login_code" if second_factor.enrolled(user) else "login_phone", self.request)

    def form_invalid(self, form: Any) -> HttpResponse:
        left = lockout.seconds_left(self.request, lockout.username(None, form.data))
        return (
            _locked(self.request, dict(self.extra_context or {}), left)
            if left
            else super().form_invalid(form)
        )


def code(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """The second page of who has a phone."""
    user = _pending(request)
    if user is None:
        return _to("login", request)
    if not second_factor.enrolled(user):
        return _to("login_phone", request)

    def take(given: str) -> HttpResponse | None:
        return _signed_in(request, user) if second_factor.confirm(user, given) else None

    return _ask(site, request, user, "staff/code.html", CodeForm(request.POST or None), take)


def phone(site: AdminSite, request: HttpRequest) -> HttpResponse:
    """The second page of who has none: the secret as picture and text, and a code to prove that it arrived. No one sees
    the secret without the enrolment code: else who knew it before could compute the codes of who enrols it."""
    user = _pending(request)
    if user is None:
        return _to("login", request)
    if second_factor.enrolled(user):
        return _to("login_code", request)
    enrolled_with = request.session[PENDING].get("enrolment", "")
    if not enrolment.allows(user, enrolled_with):
        return _ask_for_enrolment(site, request, user)
    device = second_factor.enrolling(user)
    drawn = segno.make(second_factor.address(device), error="m").svg_inline(
        scale=5, border=4, light="#fff", dark="#000", svgclass="mx-auto", omitsize=False
    )
    shown = {"picture": mark_safe(drawn), "secret": _in_fours(device.text_secret)}  # noqa: S308 - made here

    def take(given: str) -> HttpResponse | None:
        return _signed_in(request, user) if second_factor.enrol(user, given, enrolled_with) else None

    return _ask(site, request, user, "staff/phone.html", CodeForm(request.POST or None), take, **shown)


def _ask_for_enrolment(site: AdminSite, request: HttpRequest, user: User) -> HttpResponse:
    def take(given: str) -> HttpResponse | None:
        digest = enrolment.digest(given)
        if not enrolment.allows(user, digest):
            return None
        request.session[PENDING] |= {"enrolment": digest}
        request.session.modified = True
        return _to("login_phone", request)

    return _ask(site, request, user, "staff/enrolment.html", EnrolmentForm(request.POST or None), take)


def _ask(
    site: AdminSite,
    request: HttpRequest,
    user: User,
    template: str,
    form: CodeForm | EnrolmentForm,
    take: Callable[[str], HttpResponse | None],
    **shown: Any,
) -> HttpResponse:
    """`take` answers a right code."""
    context = {**site.each_context(request), "title": _("Sign in"), **shown}
    if left := lockout.seconds_left(request, user.email):
        return _locked(request, context, left)
    if request.method == "POST" and form.is_valid():
        if answer := take(form.cleaned_data["code"]):
            return answer
        lockout.failed(request, user.email)
        if left := lockout.seconds_left(request, user.email):
            return _locked(request, context, left)
        form.add_error("code", form.wrong)
    next_page = {REDIRECT_FIELD_NAME: _next(request)}
    return TemplateResponse(request, template, {**context, "form": form, **next_page})


def _signed_in(request: HttpRequest, user: User) -> HttpResponse:
    backend = request.session.pop(PENDING)["backend"]
    login(request, user, backend=backend)
    staff_sessions.begin(request, user)
    device = devices.browser_id(request.COOKIES.get(DEVICE_COOKIE))
    devices.signed_in(user, devices.of_browser(request, device), trace_id=trace_id(request))
    response = HttpResponseRedirect(_next(request))
    response.set_cookie(
        DEVICE_COOKIE,
        device,
        max_age=DEVICE_KEPT,
        path=reverse("admin:login"),
        secure=request.is_secure(),
        httponly=True,
        samesite="Strict",
    )
    return response


def _pending(request: HttpRequest) -> User | None:
    """Whose password this browser has just given."""
    given = request.session.get(PENDING)
    if given is None:
        return None
    user = selectors.active_user(given["user"])
    fresh = 0 <= time.time() - given["at"] <= PATIENCE.total_seconds()
    if (
        user is not None
        and fresh
        and user.is_staff
        and constant_time_compare(given["hash"], user.get_session_auth_hash())
    ):
        return user
    del request.session[PENDING]
    messages.warning(request, _("That took too long: please sign in again."))
    return None


def _locked(request: HttpRequest, context: dict[str, Any], seconds: int) -> HttpResponse:
    minutes = -(-seconds // 60)
    answer = TemplateResponse(request, "staff/locked.html", {**context, "minutes": minutes}, status=429)
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _next(request: HttpRequest) -> str:
    wanted = request.POST.get(REDIRECT_FIELD_NAME) or request.GET.get(REDIRECT_FIELD_NAME) or ""
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if safe else reverse("admin:index")


def _to(page: str, request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(
        f"{reverse(f'admin:{page}')}?{urlencode({REDIRECT_FIELD_NAME: _next(request)})}"
    )


def _in_fours(text: str) -> str:
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))
