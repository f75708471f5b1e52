"""Whose rows a member of the staff sees in the back office, and the base of every admin page that keeps to it.

Staff of an institution see that institution's rows and nothing else; staff without one see all. `TenantAdmin`
(for a ModelAdmin and for an inline alike) cuts what a page starts from, so lists, searches, filters,
autocompletes, actions, exports and guessed addresses have nothing else to find. Choices of related rows are cut
by the tenancy of the page of what they point to; a model without such a page has none to offer.

Why it is so: docs/decisions/016-tenancy-and-roles.md.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.sites import AdminSite
from django.contrib.admin.utils import get_fields_from_path
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from exchange.base.admin.decimal_columns import FiguresAdmin
from exchange.platform.audit.admin import AuditedAdmin

NO_ROWS = Q(pk__in=[])
ALL_ROWS = Q()


def visible(user: Any) -> UUID | None:
    """The institution whose rows alone `user` may see; None: those of all. Raises PermissionDenied for who is
    not of the staff."""
    if not (user.is_active and user.is_staff):
        raise PermissionDenied
    return None if user.is_superuser else user.institution_id


class TenantRelatedFilter(admin.RelatedFieldListFilter):
    """A filter by a related row that offers only rows that the user may see."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        ordering = self.field_admin_ordering(field, request, model_admin)
        shown = rows_of(field.remote_field.model, model_admin.admin_site, request.user)
        choices: list[tuple[str, Any]] = field.get_choices(
            include_blank=False, ordering=ordering, limit_choices_to=shown
        )
        return choices


def rows_of(model: type[Model], site: AdminSite, user: Any) -> Q:
    """Which rows of `model` a user may be offered, by the tenancy of its own page."""
    institution = visible(user)
    if institution is None:
        return ALL_ROWS
    page = site._registry.get(model)
    return page.of_institution(institution) if isinstance(page, TenantAdmin) else NO_ROWS


class TenantAdmin(FiguresAdmin, AuditedAdmin):
    """`tenant` is the ORM path to the institution, or several of which one is enough. None is reference data
    of the whole installation: staff of institutions may look if their role may, and change nothing.

    `lookups` are query parameters beside those of the list's filters that an address may have.
    """

    tenant: Any  # str | tuple[str, ...] | None; a class attribute
    lookups: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def of_institution(cls, institution: UUID) -> Q:
        """The rows of one institution."""
        if cls.tenant is None:
            return ALL_ROWS
        paths = (cls.tenant,) if isinstance(cls.tenant, str) else cls.tenant
        return Q.create([(path, institution) for path in paths], connector=Q.OR)

    def may(self, request: HttpRequest, permission: str) -> bool:
        return request.user.has_perm(permission)

    # -- rows

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        institution = visible(request.user)
        return rows if institution is None else rows.filter(self.of_institution(institution))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        self._cut(db_field, request, kwargs)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        self._cut(db_field, request, kwargs)
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]

    def _cut(self, db_field: Any, request: HttpRequest, kwargs: dict[str, Any]) -> None:
        if db_field.name == self.tenant and visible(request.user) is not None:
            kwargs.setdefault("required", True)  # without one it would be of all institutions
        model = db_field.remote_field.model
        rows = kwargs.get("queryset")
        rows = model._default_manager.all() if rows is None else rows
        site: AdminSite = self.admin_site  # type: ignore[attr-defined]
        kwargs["queryset"] = rows.filter(rows_of(model, site, request.user))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The last step of saving, in its transaction: what was saved must be of those who saved it."""
        super().save_related(request, form, formsets, change)  # type: ignore[misc]
        row = form.instance
        if visible(request.user) is None or not type(row)._base_manager.filter(pk=row.pk).exists():
            return  # not saved: it was asked for, and others decide
        if not self.get_queryset(request).filter(pk=row.pk).exists():
            raise PermissionDenied("staff of an institution change its own rows alone")

    # -- lists

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [self._filter(each) for each in super().get_list_filter(request)]  # type: ignore[misc]

    def _filter(self, given: Any) -> Any:
        name, kind = given if isinstance(given, list | tuple) else (given, admin.FieldListFilter)
        if not isinstance(name, str):
            return given
        field = get_fields_from_path(self.model, name)[-1]  # type: ignore[attr-defined]
        if not field.is_relation:
            return given
        if kind is admin.FieldListFilter:
            return name, TenantRelatedFilter
        if issubclass(kind, admin.RelatedFieldListFilter) and not issubclass(kind, TenantRelatedFilter):
            return name, type(kind.__name__, (TenantRelatedFilter, kind), {})
        return given

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Of the model's columns only those that the list offers: an address could ask others what a row hides."""
        own = {field.name for field in self.opts.get_fields()}  # type: ignore[attr-defined]
        given = self.get_list_filter(request)
        simple = {getattr(each, "parameter_name", None) for each in given}
        if lookup.partition("__")[0] in own and lookup not in simple:
            offered = [each[0] if isinstance(each, list | tuple) else each for each in given]
            names = [each for each in (*self.lookups, *offered) if isinstance(each, str)]
            name = next((each for each in names if f"{lookup}__".startswith(f"{each}__")), None)
            if name is None or not self._may_ask(name, lookup, value, request):
                return False
        allowed: bool = super().lookup_allowed(lookup, value, request)  # type: ignore[misc]
        return allowed

    def _may_ask(self, name: str, lookup: str, value: str, request: HttpRequest) -> bool:
        """Not whether a row has to do with one that must not be seen: with whose trade it is on the other side."""
        field: Any = get_fields_from_path(self.model, name)[-1]  # type: ignore[attr-defined]
        if visible(request.user) is None or not field.is_relation or lookup.endswith("__isnull"):
            return True
        site: AdminSite = self.admin_site  # type: ignore[attr-defined]
        model = field.remote_field.model
        wanted = set(value.split(","))
        try:
            shown = model._default_manager.filter(rows_of(model, site, request.user), pk__in=wanted)
            return bool(shown.count() == len(wanted))
        except (ValidationError, ValueError):  # no key of that model
            return False

    # -- what is the installation's is not an institution's to change

    def _theirs(self, request: HttpRequest) -> bool:
        return self.tenant is not None or visible(request.user) is None

    def has_add_permission(self, request: HttpRequest, *parent: Any) -> bool:
        return self._theirs(request) and super().has_add_permission(request, *parent)  # type: ignore[misc]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._theirs(request) and super().has_change_permission(request, obj)  # type: ignore[misc]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._theirs(request) and super().has_delete_permission(request, obj)  # type: ignore[misc]
