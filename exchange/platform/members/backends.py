"""Django's authentication by e-mail and password, and permissions by role instead of by rows."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend

from exchange.platform.members.roles import granted


class RoleBackend(ModelBackend):
    """What a user may do is `roles.GRANTS` of their role; groups and permission rows count for nothing."""

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return self.get_all_permissions(user_obj, obj)

    def get_group_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return set()

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """A permission is for all rows that a user sees, so one row (`obj`) changes nothing."""
        if user_obj.is_anonymous or not (user_obj.is_active and user_obj.is_staff):
            return set()
        return set(granted(user_obj.role, platform=user_obj.institution_id is None))

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        if user_obj.is_anonymous or not (user_obj.is_active and user_obj.is_staff):
            return False
        return perm in granted(user_obj.role, platform=user_obj.institution_id is None)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return any(name.startswith(f"{app_label}.") for name in self.get_all_permissions(user_obj))
