-- What was signed, each request once: the memory against replays, shared by all processes.
--
-- The table is unlogged: no entry costs a write to the log or waits for the disk. PostgreSQL empties an unlogged table
-- after a crash and on a replica that takes over, wholly or not at all. So the row of no request (id 0) says since when
-- the memory has been complete: it is there with every other row, or gone with them. Where it is gone, the memory begins
-- anew, and what was signed before it began is refused, for it may have been used already.
--
-- There is one clock, that of this database. Milliseconds since the epoch. Known limits: what was let go a minute after
-- its end would be new again if somebody set that clock back by more; and a dump that was restored within the minute that
-- a request is good for would not know of what came after it (restore with --no-unlogged-table-data).

CREATE UNLOGGED TABLE keys_seen (
    id uuid PRIMARY KEY,
    until bigint NOT NULL  -- the request is refused for its age after that; of id 0: complete for what was signed after
);
CREATE INDEX keys_seen_until ON keys_seen (until);

INSERT INTO keys_seen VALUES ('00000000-0000-0000-0000-000000000000', 0);  -- there are no keys yet

-- NEW       seen for the first time: go on
-- REPLAYED  seen before
-- OUTSIDE   older than its window, or more than a second ahead
-- UNSURE    signed before the memory began
CREATE FUNCTION keys_remember(request uuid, signed_at bigint, receive_window bigint, OUT outcome text, OUT now bigint)
LANGUAGE plpgsql AS $$
DECLARE
    ahead CONSTANT bigint := 1000;
    -- Of another server that takes over, the clock may be behind by as much as this less `ahead`.
    pause CONSTANT bigint := 5000;
    since bigint;
BEGIN
    now := extract(epoch FROM clock_timestamp()) * 1000;
    IF signed_at > now + ahead OR signed_at + receive_window < now THEN
        outcome := 'OUTSIDE';
        RETURN;
    END IF;
    SELECT until INTO since FROM keys_seen WHERE id = '00000000-0000-0000-0000-000000000000';
    IF NOT FOUND THEN
        since := now + pause;
        INSERT INTO keys_seen VALUES ('00000000-0000-0000-0000-000000000000', since) ON CONFLICT DO NOTHING;
    END IF;
    IF signed_at <= since THEN
        outcome := 'UNSURE';
        RETURN;
    END IF;
    INSERT INTO keys_seen VALUES (request, signed_at + receive_window) ON CONFLICT DO NOTHING;
    outcome := CASE WHEN FOUND THEN 'NEW' ELSE 'REPLAYED' END;
END $$;
