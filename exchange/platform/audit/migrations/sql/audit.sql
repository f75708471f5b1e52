-- The audit log is append-only, whoever writes to it, and the sealer hears of every new record.

CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;

-- What has no seal yet. Set-based: one row-source per statement, not a call per record.
CREATE FUNCTION audit_note_unsealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_unsealed (record) SELECT id FROM new_rows;
    RETURN NULL;
END $$;

CREATE TRIGGER record_guard BEFORE UPDATE OR DELETE ON audit_record
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER seal_guard BEFORE UPDATE OR DELETE ON audit_seal
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER archived_guard BEFORE UPDATE OR DELETE ON audit_archived
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER archived_truncate_guard BEFORE TRUNCATE ON audit_archived
    EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER archive_guard BEFORE UPDATE OR DELETE ON audit_archive
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER archive_truncate_guard BEFORE TRUNCATE ON audit_archive
    EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER head_guard BEFORE DELETE ON audit_head FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER head_truncate_guard BEFORE TRUNCATE ON audit_head EXECUTE FUNCTION audit_refuse_change();

-- Triggers with transition tables, and those on TRUNCATE, act on the table a statement names: the parent and, made here,
-- any partition.
CREATE FUNCTION audit_guard_table(name regclass, like_table text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF like_table = 'audit_record' THEN
        EXECUTE format('CREATE TRIGGER record_unsealed AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION audit_note_unsealed()', name);
    END IF;
    EXECUTE format('CREATE TRIGGER truncate_guard BEFORE TRUNCATE ON %s EXECUTE FUNCTION audit_refuse_change()', name);
END $$;

SELECT audit_guard_table('audit_record', 'audit_record'), audit_guard_table('audit_record_default', 'audit_record'),
       audit_guard_table('audit_seal', 'audit_seal'), audit_guard_table('audit_seal_default', 'audit_seal');

-- A number is given once. PostgreSQL's unique indexes reach one partition only: across them the head row's lock sees to it.
CREATE UNIQUE INDEX audit_seal_default_number ON audit_seal_default (chain, number);
ALTER TABLE audit_unsealed SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- The lowest id of a table that is not in an archive; all zeros if none is.
CREATE FUNCTION retained_from(of_table text) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT upper FROM audit_archive WHERE source = of_table ORDER BY upper DESC LIMIT 1),
                    '00000000-0000-0000-0000-000000000000'::uuid)
$$;

-- Order commands of a batch are one long text: the faster packing, where PostgreSQL has it.
DO $$ BEGIN
    ALTER TABLE audit_record ALTER COLUMN new SET COMPRESSION lz4;
    ALTER TABLE audit_record_default ALTER COLUMN new SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN NULL;
END $$;
