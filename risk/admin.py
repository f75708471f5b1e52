"""All admin pages of risk, for Django to find."""

__all__ = ["cases_admin", "limits_admin", "portfolio_admin", "surveillance_admin"]
