"""The door of the back office's own pages: those of the audit log and of the outbox."""

from exchange.backoffice.pages import audit_records, outbox

__all__ = ["audit_records", "outbox"]
