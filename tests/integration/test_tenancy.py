"""Every page of the back office with every role: what `roles.GRANTS` says is let through and nothing else, and staff of
an institution never see or touch what is another's, whatever address they make up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import models
from django.test import Client
from django.urls import URLPattern, reverse
from django.urls.exceptions import NoReverseMatch
from pytest_django import DjangoDbBlocker

from exchange.platform.members.models import Institution, Role, User
from exchange.platform.members.roles import granted
from exchange.platform.members.tenancy import TenantAdmin
from tests.market import lasting_desk
from tests.staff import signed_in, staff
from tests.tenants import Tenant, pages, settle_in
from trading.models import Account, Order, Trade, Transaction

pytestmark = pytest.mark.django_db

STAFF = [role for role in Role if role != Role.TRADER]
OF_INSTITUTIONS = [role for role in STAFF if role != Role.PLATFORM_ADMIN]
OF_THE_PLATFORM = [role for role in STAFF if role != Role.INSTITUTION_ADMIN]
DENIED = {302, 400, 403, 404, 405}
STANDARD = ("changelist", "add", "history", "delete", "change")

Two = tuple[Tenant, Tenant]


@pytest.fixture(scope="module")
def tenants(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Two]:
    with lasting_desk(django_db_blocker) as desk:
        yield settle_in(desk)


class Visitor:
    """One of the staff at a browser. `theirs` is what must not be shown; None for the platform's."""

    def __init__(self, role: str, institution: Institution | None, theirs: Tenant | None) -> None:
        self.client = signed_in(staff(role, institution))
        self.may = granted(role, platform=institution is None)
        self.secrets = theirs.secrets if theirs else set()

    def get(self, address: str, query: dict[str, str] | None = None) -> int:
        return self._look(address, self.client.get(address, query or {}), query)

    def post(self, address: str, data: dict[str, Any]) -> int:
        return self._look(address, self.client.post(address, data), None)

    def listed(self, model: Any, query: dict[str, str] | None = None) -> set[Any]:
        """Keys of the rows in a list that must open."""
        address = address_of(model, "changelist")
        answer = self.client.get(address, query or {})
        assert self._look(address, answer, query) == 200, (address, query)
        return {row.pk for row in answer.context["cl"].result_list}

    def _look(self, address: str, answer: Any, query: dict[str, str] | None) -> int:
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        text = body.decode(errors="replace") + answer.headers.get("Location", "")
        asked = f"{address} {query or ''}"
        told = [secret for secret in self.secrets if secret in text and secret not in asked]
        assert not told, f"{asked} ({answer.status_code}) tells {told}"
        assert answer.status_code < 500, asked
        return int(answer.status_code)


def address_of(model: Any, page: str, *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


def permitted(page: Any, may: frozenset[str], verb: str) -> bool:
    if verb != "view" and (asking := getattr(page, "ask_permission", None)):
        return asking in may and verb != "delete"
    name = f"{page.opts.app_label}.{verb}_{page.opts.model_name}"
    return name in may or (verb == "view" and permitted(page, may, "change"))


@pytest.fixture
def root() -> Any:
    """A request of a superuser, who is refused only what nobody may do."""
    client = signed_in(User.objects.create_superuser("root@platform.example", "x"))
    return client.get("/admin/sign-ins/").wsgi_request


def check_access(visitor: Visitor, root: Any, mine: Tenant) -> None:
    """Additions, pages, histories and deletions, each as the table says, and no list that it does not have."""
    for model, page in pages().items():
        shared: Any = page
        may_view = permitted(page, visitor.may, "view")
        may_add = permitted(page, visitor.may, "add") and shared.has_add_permission(root)
        may_delete = permitted(page, visitor.may, "delete") and shared.has_delete_permission(root)
        if not may_view:
            assert visitor.get(address_of(model, "changelist")) == 403, model
        assert visitor.get(address_of(model, "add")) == (200 if may_add else 403), model
        rows = mine.rows[model] if page.tenant is not None else []
        if not rows:
            continue
        key = rows[0]
        assert visitor.get(address_of(model, "change", key)) == (200 if may_view else 403), model
        assert visitor.get(address_of(model, "history", key)) == (200 if may_view else 403), model
        assert visitor.get(address_of(model, "delete", key)) == (200 if may_delete else 403), model
        if not may_add:
            assert visitor.post(address_of(model, "add"), {}) == 403, model


@pytest.mark.parametrize("role", OF_THE_PLATFORM)
def test_staff_of_the_platform_may_what_the_table_says(role: str, tenants: Two, root: Any) -> None:
    oak, elm = tenants
    visitor = Visitor(role, None, None)
    if role == Role.PLATFORM_ADMIN:  # the other roles' pages are opened by those of an institution
        check_access(visitor, root, oak)
    for model, page in pages().items():
        if permitted(page, visitor.may, "view"):
            everybodys = {*oak.rows[model], *elm.rows[model]} if page.tenant is not None else set()
            assert everybodys <= visitor.listed(model), model


@pytest.mark.parametrize("role", OF_INSTITUTIONS)
def test_staff_of_an_institution_may_what_the_table_says_with_its_own(
    role: str, tenants: Two, root: Any
) -> None:
    oak, elm = tenants
    visitor = Visitor(role, oak.institution, elm)
    check_access(visitor, root, oak)
    for model, page in pages().items():
        if permitted(page, visitor.may, "view"):
            listed = visitor.listed(model)
            assert not listed & set(elm.rows[model]), model
            assert page.tenant is None or listed >= set(oak.rows[model]), f"{model}: their own is not listed"


@pytest.mark.parametrize("role", OF_INSTITUTIONS)
def test_nothing_of_another_institution_by_a_guessed_address(role: str, tenants: Two) -> None:
    oak, elm = tenants
    before = snapshot(elm)
    visitor = Visitor(role, oak.institution, elm)
    for model, page in pages().items():
        if page.tenant is None:
            continue
        for key in elm.rows[model][:1]:
            for name in ("change", "history", "delete"):
                assert visitor.get(address_of(model, name, key)) in DENIED, (model, name)
            for name in ("change", "delete"):
                assert visitor.post(address_of(model, name, key), {"post": "yes"}) in DENIED, (model, name)
        if elm.rows[model] and permitted(page, visitor.may, "view"):
            for name in listed_actions(page, visitor):
                chosen = {"action": name, "_selected_action": [str(key) for key in elm.rows[model]]}
                visitor.post(address_of(model, "changelist"), {**chosen, "post": "yes", "reason": "guess"})
    assert snapshot(elm) == before


def listed_actions(page: Any, visitor: Visitor) -> list[str]:
    request = visitor.client.get("/admin/sign-ins/").wsgi_request
    return list(page.get_actions(request))


def snapshot(tenant: Tenant) -> dict[Any, Any]:
    """All columns of all of their rows."""
    return {
        model: sorted(map(repr, model._default_manager.filter(pk__in=keys).values()))
        for model, keys in tenant.rows.items()
    }


def test_their_own_verbs_find_nothing_of_another_institution(tenants: Two) -> None:
    """Addresses that pages have beside Django's, with another's keys in them."""
    oak, elm = tenants
    before = snapshot(elm)
    visitors = [Visitor(role, oak.institution, elm) for role in (Role.INSTITUTION_ADMIN, Role.COMPLIANCE)]
    tried = 0
    for model, page in pages().items():
        if page.tenant is None:
            continue
        for pattern in own_addresses(page):
            for key in elm.rows[model][:1]:
                for address in filled(pattern, key):
                    for visitor in visitors:
                        assert visitor.get(address) in DENIED, address
                        assert visitor.post(address, {"reason": "guess"}) in DENIED, address
                        tried += 1
    assert tried > 10
    assert snapshot(elm) == before


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.SUPPORT])
def test_who_may_only_look_changes_nothing_anywhere(role: str, tenants: Two) -> None:
    oak, elm = tenants
    before = snapshot(oak)
    visitor = Visitor(role, oak.institution, elm)
    for model, page in pages().items():
        if page.tenant is None or any(
            name.startswith(page.opts.app_label) for name in changes(visitor, page)
        ):
            continue
        for pattern in own_addresses(page):
            for key in oak.rows[model][:1]:
                for address in filled(pattern, key):
                    assert visitor.post(address, {"reason": "x", "text": "x"}) in DENIED, address
        for key in oak.rows[model][:1]:
            assert visitor.post(address_of(model, "change", key), {"email": "x@x.example"}) == 403, model
    assert snapshot(oak) == before


def changes(visitor: Visitor, page: Any) -> list[str]:
    """What a role may do to rows of a page beside looking."""
    ending = f"_{page.opts.model_name}"
    own = [
        name for name in visitor.may if name.endswith(ending) and name.startswith(f"{page.opts.app_label}.")
    ]
    return [name for name in own if ".view_" not in name]


def own_addresses(page: Any) -> list[URLPattern]:
    found = [each for each in page.get_urls() if isinstance(each, URLPattern) and each.name]
    return [each for each in found if not str(each.name).endswith(tuple(f"_{name}" for name in STANDARD))]


def filled(pattern: URLPattern, key: Any) -> list[str]:
    """The address with a key in its place; where there is a verb, with those that pages have."""
    parameters = re.findall(r"<(?:\w+:)?(\w+)>", str(pattern.pattern))
    keys = [name for name in parameters if name.endswith("_id")]
    others = [name for name in parameters if name not in keys]
    if not keys:
        return []
    verbs = ("assign", "note", "decide", "approve", "reject", "confirm", "accept", "send", "level")
    found = []
    for verb in verbs if others else ("",):
        values = dict.fromkeys(keys, key) | dict.fromkeys(others, verb)
        try:
            found.append(reverse(f"admin:{pattern.name}", kwargs=values))
        except NoReverseMatch:
            continue
    return found


def test_searches_filters_and_exports_stay_at_home(tenants: Two) -> None:
    """By everything that the other institution's rows are known by."""
    oak, elm = tenants
    order, trade = elm.rows[Order][0], Trade.objects.order_by("pk")[0]
    foreign_side = str(trade.buyer_order_id if trade.buyer_id == elm.user.pk else trade.seller_order_id)
    terms = [elm.user.email, str(elm.user.pk), str(order), foreign_side]
    visitor = Visitor(Role.INSTITUTION_ADMIN, oak.institution, elm)
    for model, page in pages().items():
        if not permitted(page, visitor.may, "view"):
            continue
        label = f"{model._meta.app_label}/{model._meta.model_name}"
        assert visitor.get(f"/admin/export/{label}.csv") == 200, label
        if page.tenant is None:
            continue
        searched: Any = page
        if searched.search_fields:
            for term in terms if model in (Order, Trade, Transaction) else terms[:1]:
                found = visitor.listed(model, {"q": term})
                assert not found & set(elm.rows[model]), (model, term)
                if model in (Trade, Transaction):
                    assert not found, f"{model}: {term} tells with whom a trade was"
                    assert visitor.get(f"/admin/export/{label}.csv", {"q": term}) == 200
    for model, name in ((Order, "user"), (Trade, "buyer"), (Trade, "seller"), (Account, "institution")):
        for key in (str(elm.user.pk), str(elm.institution.pk)):
            for query in ({name: key}, {f"{name}__id__exact": key}, {f"{name}__in": key}):
                answer = visitor.client.get(address_of(model, "changelist"), query)
                assert answer.status_code in DENIED or not answer.context["cl"].result_list, (model, query)
    for model, odd in (
        (Order, "user__password__startswith"),
        (Trade, "buyer__email__startswith"),
        (Trade, "seller_fee__gt"),
        (User, "password__startswith"),
    ):
        assert visitor.client.get(address_of(model, "changelist"), {odd: "0"}).status_code in DENIED, odd
    for term in terms:
        assert visitor.get("/admin/find", {"q": term}) == 200
        assert visitor.get("/admin/search/", {"s": term, "extended": "1"}) == 200


def test_choices_offer_their_own_alone(tenants: Two) -> None:
    oak, elm = tenants
    visitor = Visitor(Role.INSTITUTION_ADMIN, oak.institution, elm)
    asked = 0
    for model, page in pages().items():
        shared: Any = page
        for name in shared.autocomplete_fields:
            relation: Any = model._meta.get_field(name)
            target = relation.remote_field.model
            query = {
                "app_label": model._meta.app_label,
                "model_name": model._meta.model_name,
                "field_name": name,
            }
            for term in ("", elm.user.email, "trader"):
                assert visitor.get("/admin/autocomplete/", {**query, "term": term}) == 200
            answer = visitor.client.get("/admin/autocomplete/", {**query, "term": ""})
            offered = {row["id"] for row in answer.json()["results"]}
            assert str(oak.rows[target][0]) in offered
            asked += 1
    assert asked >= 3


def test_a_form_takes_no_row_of_another_institution(tenants: Two) -> None:
    oak, elm = tenants
    visitor = Visitor(Role.INSTITUTION_ADMIN, oak.institution, elm)
    from exchange.platform.notifications.models import TextTemplate, UserContact
    from risk.models import Block

    template = {"kind": "ORDER_FILLED", "channel": "EMAIL", "language": "en", "subject": "x", "body": "x"}
    attempts: list[tuple[Any, dict[str, Any]]] = [
        (Block, {"user": elm.user.pk, "reason": "x"}),
        (Block, {"institution": elm.institution.pk, "reason": "x"}),
        (UserContact, {"user": elm.user.pk, "phone": "+905551112233", "language": "en"}),
        (TextTemplate, {**template, "institution": elm.institution.pk}),
        (TextTemplate, {**template, "institution": ""}),
        (User, {"email": "new@x.example", "password1": "abc12345xyz", "password2": "abc12345xyz",
                "usable_password": "true", "institution": elm.institution.pk}),
        (User, {"email": "new@x.example", "password1": "abc12345xyz", "password2": "abc12345xyz",
                "usable_password": "true", "institution": ""}),
    ]  # fmt: skip
    for model, data in attempts:
        count = model.objects.count()
        answer = visitor.client.post(address_of(model, "add"), data)
        assert answer.status_code in (200, 403), (model, data)
        if answer.status_code == 200:
            assert answer.context["adminform"].form.errors, (model, data)
        assert model.objects.count() == count, (model, data)
    new = {
        **attempts[-1][1],
        "institution": oak.institution.pk,
        "role": "PLATFORM_ADMIN",
        "is_superuser": "on",
    }
    assert visitor.post(address_of(User, "add"), new) == 302
    made = User.objects.get(email="new@x.example")
    assert (made.role, made.is_staff, made.is_superuser) == (Role.TRADER, False, False)


def test_nobody_raises_rights_or_takes_over_by_the_form(tenants: Two) -> None:
    oak, elm = tenants
    own = Visitor(Role.INSTITUTION_ADMIN, oak.institution, elm)
    rights = {"role": "INSTITUTION_ADMIN", "is_staff": "on", "is_superuser": "on", "groups": "1"}
    rights |= {"user_permissions": "1", "institution": str(elm.institution.pk), "is_active": "on"}
    data = {**rights, "email": oak.user.email}
    assert own.post(address_of(User, "change", oak.user.pk), data) == 302
    after = User.objects.get(pk=oak.user.pk)
    assert (after.role, after.is_staff, after.is_superuser) == (Role.TRADER, False, False)
    assert after.institution_id == oak.institution.pk
    word = {"password1": "another-word-1", "password2": "another-word-1", "usable_password": "true"}
    peer, officer = staff(Role.INSTITUTION_ADMIN, oak.institution), staff(Role.COMPLIANCE, oak.institution)
    support = staff(Role.SUPPORT, oak.institution)
    for whom in (peer, officer, support, elm.user, elm.admin):
        password = f"/admin/members/user/{whom.pk}/password/"
        assert own.get(password) in DENIED and own.post(password, word) in DENIED, whom
        assert own.post(address_of(User, "change", whom.pk), {"email": "taken@x.example"}) in DENIED
    from tests.staff import totp

    totp(support)  # with a phone of their own a new password lets nobody else in
    totp(peer)
    assert own.post(f"/admin/members/user/{support.pk}/password/", word) == 302
    assert own.post(f"/admin/members/user/{peer.pk}/password/", word) == 403, (
        "nobody becomes their own second person"
    )
    assert own.post(f"/admin/members/user/{oak.user.pk}/password/", word) == 302


def test_a_trade_between_two_shows_each_its_own_side(tenants: Two) -> None:
    oak, elm = tenants
    for trade in Trade.objects.all():
        for mine, theirs in ((oak, elm), (elm, oak)):
            visitor = Visitor(Role.AUDITOR, mine.institution, theirs)
            assert trade.pk in visitor.listed(Trade)
            for model in (Trade, Transaction):
                address = address_of(model, "change", trade.pk)
                assert visitor.get(address) == 200
                assert mine.user.email in visitor.client.get(address).content.decode()
            page = visitor.client.get(address_of(Trade, "change", trade.pk)).content.decode()
            bought = trade.buyer_id == mine.user.pk
            own, other = (trade.buyer_order_id, trade.seller_order_id)[:: 1 if bought else -1]
            assert str(own) in page and str(other) not in page


def test_who_has_not_signed_in_or_is_a_trader_sees_no_page(tenants: Two) -> None:
    oak, _ = tenants
    trader = Client()
    trader.force_login(oak.user, backend="exchange.platform.members.backends.RoleBackend")
    for client in (Client(), trader):
        for model, page in pages().items():
            key = (oak.rows[model] or ["1"])[0] if page.tenant is not None else "1"
            for address in (address_of(model, "changelist"), address_of(model, "change", key)):
                assert client.get(address)["Location"].startswith("/admin/login/"), address
        label = "trading/order"
        assert client.get(f"/admin/export/{label}.csv")["Location"].startswith("/admin/login/")


def test_a_page_without_tenancy_is_noticed() -> None:
    """What `pages` asserts for all others."""

    class Careless(models.Model):
        class Meta:
            app_label = "members"
            managed = False

        def __str__(self) -> str:
            return ""

    from django.contrib import admin

    admin.site.register(Careless)
    try:
        with pytest.raises(AssertionError, match="TenantAdmin"):
            pages()
    finally:
        admin.site.unregister(Careless)
    assert all(isinstance(page, TenantAdmin) for page in pages().values())
