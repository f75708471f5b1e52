-- What keeps cases honest, psql included: a closed case never changes again, nor do its alerts and notes; nothing is
-- ever deleted; a note stays as it was written.

CREATE FUNCTION case_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'case % is closed: it is final', OLD.id USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER case_closed_guard BEFORE UPDATE ON risk_case
    FOR EACH ROW WHEN (OLD.state LIKE 'CLOSED%') EXECUTE FUNCTION case_is_final();

CREATE FUNCTION case_of_row_is_under_way() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    state_now text;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.case_id <> NEW.case_id THEN
        RAISE EXCEPTION '% % stays with case %', TG_TABLE_NAME, OLD.id, OLD.case_id USING ERRCODE = 'restrict_violation';
    END IF;
    -- The lock waits for a decision that is being made, so the state is asked of what is read under it.
    SELECT state INTO state_now FROM risk_case WHERE id = NEW.case_id FOR SHARE;
    IF state_now LIKE 'CLOSED%' THEN
        RAISE EXCEPTION 'case % is closed: it is final', NEW.case_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER alert_closed_guard BEFORE INSERT OR UPDATE ON risk_alert
    FOR EACH ROW EXECUTE FUNCTION case_of_row_is_under_way();
CREATE TRIGGER note_closed_guard BEFORE INSERT ON risk_casenote
    FOR EACH ROW EXECUTE FUNCTION case_of_row_is_under_way();

CREATE FUNCTION case_rows_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is kept as it is: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER case_kept BEFORE DELETE OR TRUNCATE ON risk_case EXECUTE FUNCTION case_rows_are_kept();
CREATE TRIGGER alert_kept BEFORE DELETE OR TRUNCATE ON risk_alert EXECUTE FUNCTION case_rows_are_kept();
CREATE TRIGGER note_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON risk_casenote EXECUTE FUNCTION case_rows_are_kept();
