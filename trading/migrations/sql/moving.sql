-- A market changes its group in a move and in no other way, and a move stands in the journals of both groups.
-- (How it is done: trading/markets/move.py. Places in a book are counted by the group's sequence plus `place_offset`.)

-- The transaction that a move was made in, also where it has savepoints.
ALTER TABLE trading_move ADD COLUMN by_transaction xid8 NOT NULL DEFAULT pg_current_xact_id();

-- Both groups' newest batches are the move's alone, each the first of an epoch: so no matcher of before can settle.
CREATE FUNCTION move_is_journalled() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    journals integer;
BEGIN
    SELECT count(*) INTO journals
      FROM matching_checkpoint c
      JOIN matching_journalbatch j ON j.group_id = c.group_id AND j.first_sequence = c.sequence
     WHERE (c.group_id, c.sequence) IN ((NEW.from_group_id, NEW.released), (NEW.to_group_id, NEW.adopted))
       AND j.last_sequence = c.sequence AND j.epoch = c.epoch
       AND c.epoch > coalesce((SELECT epoch FROM matching_journalbatch b
                                WHERE b.group_id = c.group_id AND b.first_sequence < j.first_sequence
                                ORDER BY b.first_sequence DESC LIMIT 1), 0);
    IF NEW.from_group_id = NEW.to_group_id OR journals <> 2 THEN
        RAISE EXCEPTION 'a move from % to % must be the newest batch of both journals, under a new epoch',
            NEW.from_group_id, NEW.to_group_id USING ERRCODE = 'check_violation', CONSTRAINT = 'move_is_journalled';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER move_is_journalled BEFORE INSERT ON trading_move
    FOR EACH ROW EXECUTE FUNCTION move_is_journalled();
CREATE TRIGGER move_guard BEFORE UPDATE OR DELETE ON trading_move FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER move_truncate_guard BEFORE TRUNCATE ON trading_move EXECUTE FUNCTION refuse_change();

-- Prices and quantities are stored in steps that must stay.
CREATE OR REPLACE FUNCTION refuse_instrument_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.symbol, OLD.base_id, OLD.quote_id, OLD.tick_size, OLD.lot_size) IS DISTINCT FROM
       (NEW.symbol, NEW.base_id, NEW.quote_id, NEW.tick_size, NEW.lot_size) THEN
        RAISE EXCEPTION 'assets and steps of instrument % cannot change', OLD.symbol
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM trading_move m
                    WHERE m.instrument_id = OLD.id AND m.by_transaction = pg_current_xact_id()
                      AND m.from_group_id = OLD.group_id AND m.to_group_id = NEW.group_id
                      AND NEW.place_offset = OLD.place_offset + m.released - m.adopted) THEN
        RAISE EXCEPTION 'the group of instrument % changes by a move alone (manage.py move_market)', OLD.symbol
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

DROP TRIGGER instrument_guard ON trading_instrument;
CREATE TRIGGER instrument_guard
    BEFORE UPDATE OF symbol, base_id, quote_id, tick_size, lot_size, group_id, place_offset ON trading_instrument
    FOR EACH ROW
    WHEN ((OLD.symbol, OLD.base_id, OLD.quote_id, OLD.tick_size, OLD.lot_size, OLD.place_offset) IS DISTINCT FROM
          (NEW.symbol, NEW.base_id, NEW.quote_id, NEW.tick_size, NEW.lot_size, NEW.place_offset)
          OR (OLD.group_id IS NOT NULL AND OLD.group_id IS DISTINCT FROM NEW.group_id))
    EXECUTE FUNCTION refuse_instrument_change();
