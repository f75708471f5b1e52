-- A journal batch follows the one before it without a gap and never comes from an older epoch; none is ever changed.

CREATE FUNCTION journal_follows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before record;
BEGIN
    SELECT last_sequence, epoch INTO before FROM matching_journalbatch
     WHERE group_id = NEW.group_id ORDER BY first_sequence DESC LIMIT 1;
    IF NEW.first_sequence <> coalesce(before.last_sequence, 0) + 1 OR NEW.epoch < coalesce(before.epoch, 0) THEN
        RAISE EXCEPTION 'journal batch % of group % (epoch %) does not follow sequence % (epoch %)', NEW.first_sequence,
            NEW.group_id, NEW.epoch, coalesce(before.last_sequence, 0), coalesce(before.epoch, 0)
            USING ERRCODE = 'check_violation', CONSTRAINT = 'journal_follows';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER journal_follows BEFORE INSERT ON matching_journalbatch
    FOR EACH ROW EXECUTE FUNCTION journal_follows();
CREATE TRIGGER journal_guard BEFORE UPDATE OR DELETE ON matching_journalbatch
    FOR EACH ROW EXECUTE FUNCTION journal_is_append_only();
CREATE TRIGGER journal_truncate_guard BEFORE TRUNCATE ON matching_journalbatch
    EXECUTE FUNCTION journal_is_append_only();
ALTER TABLE matching_checkpoint SET (fillfactor = 50);
