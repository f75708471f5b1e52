-- The ground that all stand on. Triggers and constraints are looked at in trading/verify/guards.py.

-- check settings (4; settings): what PostgreSQL commits survives a crash, and triggers fire
--
-- As they are in force here, and as roles and databases set them for others.
WITH safe (name, value) AS (
    VALUES ('fsync', 'on'), ('full_page_writes', 'on'), ('zero_damaged_pages', 'off'), ('ignore_checksum_failure', 'off'),
           ('synchronous_commit', 'on'), ('synchronous_commit', 'local'), ('synchronous_commit', 'remote_write'),
           ('synchronous_commit', 'remote_apply'), ('session_replication_role', 'origin')
), setting AS (
    SELECT name, setting AS value, 'here' AS place FROM pg_settings WHERE name IN (SELECT name FROM safe)
    UNION ALL
    SELECT split_part(line, '=', 1), split_part(line, '=', 2),
           concat_ws(' ', 'for role ' || rolname, 'in database ' || datname)
      FROM pg_db_role_setting
     CROSS JOIN unnest(setconfig) AS line
      LEFT JOIN pg_roles r ON r.oid = setrole
      LEFT JOIN pg_database d ON d.oid = setdatabase
     WHERE split_part(line, '=', 1) IN (SELECT name FROM safe) AND (setdatabase = 0 OR datname = current_database())
)
SELECT CASE WHEN (name, value) NOT IN (SELECT name, value FROM safe) THEN
           format('%s is %s %s', name, value, place)
       END AS breach
  FROM setting;

-- check trade_indexes (5; partitions): trade numbers are unique in each partition
SELECT CASE WHEN NOT EXISTS (
           SELECT FROM pg_index
            WHERE indrelid = relid AND indisunique AND indisvalid AND indpred IS NULL
              AND ARRAY(SELECT attname FROM pg_attribute WHERE attrelid = relid AND attnum = ANY (indkey)
                         ORDER BY attname) = ARRAY['instrument_id', 'number']::name[]) THEN
           format('%s: no unique index on instrument and number', relid::regclass)
       END AS breach
  FROM pg_partition_tree('trading_trade')
 WHERE isleaf;
