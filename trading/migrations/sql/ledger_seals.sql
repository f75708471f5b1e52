-- Every statement that writes ledger transactions leaves a note for the sealer: one row with all their ids.

CREATE FUNCTION ledger_note_unsealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trading_ledgerunsealed (ids) SELECT array_agg(id) FROM new_rows HAVING count(*) > 0;
    RETURN NULL;
END $$;

-- Triggers with transition tables act on the table a statement names: the parent and any partition.
CREATE FUNCTION note_unsealed_in(name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER transactions_unsealed AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_note_unsealed()', name);
END $$;

SELECT note_unsealed_in(relid) FROM pg_partition_tree('trading_transaction');

CREATE TRIGGER ledger_seal_guard BEFORE UPDATE OR DELETE ON trading_ledgerseal
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_seal_truncate_guard BEFORE TRUNCATE ON trading_ledgerseal EXECUTE FUNCTION refuse_change();

-- Digests do not get smaller by being packed.
ALTER TABLE trading_ledgerseal ALTER COLUMN entries SET STORAGE EXTERNAL;
ALTER TABLE trading_ledgerunsealed SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- What is in the ledger already is sealed as it stands.
INSERT INTO trading_ledgerunsealed (ids)
     SELECT array_agg(id ORDER BY id)
       FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / 1000 AS slice FROM trading_transaction) AS numbered
      GROUP BY slice ORDER BY slice;
