-- Counts the changes of limits and blocks: in the transaction that makes them, so who sees the number sees them too.
-- It follows the clock, so that a restored database does not come back to a number that somebody has seen.
CREATE FUNCTION risk_count_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO risk_revision (id, number) VALUES (1, extract(epoch FROM clock_timestamp()) * 1000000)
        ON CONFLICT (id) DO UPDATE SET number = greatest(risk_revision.number + 1, excluded.number);
    RETURN NULL;
END $$;

CREATE TRIGGER limit_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON risk_limit
    FOR EACH STATEMENT EXECUTE FUNCTION risk_count_revision();
CREATE TRIGGER block_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON risk_block
    FOR EACH STATEMENT EXECUTE FUNCTION risk_count_revision();

-- Who was blocked, when and why stays on record.
CREATE FUNCTION risk_block_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a block is lifted, never deleted or rewritten' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER block_kept BEFORE DELETE ON risk_block FOR EACH ROW EXECUTE FUNCTION risk_block_is_kept();
CREATE TRIGGER block_unchanged BEFORE UPDATE ON risk_block FOR EACH ROW
    WHEN (OLD.lifted_at IS NOT NULL OR (OLD.user_id, OLD.institution_id, OLD.reason, OLD.by, OLD.created_at)
          IS DISTINCT FROM (NEW.user_id, NEW.institution_id, NEW.reason, NEW.by, NEW.created_at))
    EXECUTE FUNCTION risk_block_is_kept();
