-- Requests and decisions are records: whoever writes, psql included.
--
-- 1. A request begins as one that waits; what was asked for, by whom and until when never changes.
-- 2. It is decided once. A decided one never changes, and none is ever deleted.
-- 3. What has run out is not approved.
CREATE FUNCTION approval_begins_waiting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a request begins as PENDING: it is approved afterwards, by another person'
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION approval_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'requests and decisions are kept as they are: % is refused', TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION approval_has_run_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'request % has run out and cannot be approved', OLD.id USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER approval_inserted BEFORE INSERT ON approvals_approval FOR EACH ROW
    WHEN (NEW.state <> 'PENDING' OR NEW.outcome <> '' OR NEW.decision_reason <> '')
    EXECUTE FUNCTION approval_begins_waiting();
CREATE TRIGGER approval_kept BEFORE DELETE ON approvals_approval FOR EACH ROW EXECUTE FUNCTION approval_stays();
CREATE TRIGGER approval_not_truncated BEFORE TRUNCATE ON approvals_approval EXECUTE FUNCTION approval_stays();
CREATE TRIGGER approval_unchanged BEFORE UPDATE ON approvals_approval FOR EACH ROW
    WHEN (OLD.state <> 'PENDING' OR
          (OLD.id, OLD.kind, OLD.institution_id, OLD.about_id, OLD.subject, OLD.payload, OLD.changes, OLD.reason,
           OLD.requested_by_id, OLD.requested_at, OLD.expires_at) IS DISTINCT FROM
          (NEW.id, NEW.kind, NEW.institution_id, NEW.about_id, NEW.subject, NEW.payload, NEW.changes, NEW.reason,
           NEW.requested_by_id, NEW.requested_at, NEW.expires_at))
    EXECUTE FUNCTION approval_stays();
CREATE TRIGGER approval_in_time BEFORE UPDATE ON approvals_approval FOR EACH ROW
    WHEN (NEW.state = 'APPROVED' AND OLD.expires_at <= statement_timestamp())
    EXECUTE FUNCTION approval_has_run_out();
