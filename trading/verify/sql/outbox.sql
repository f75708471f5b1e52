-- The outbox: what is published is what is stored.
--
-- Published events leave with their partition, oldest first. As long as the first partition is there (or none was ever
-- made) everything must have been published; after that, what changed since the oldest event that is left.
-- Values are cut out of a message by their keys: to parse the JSON takes five times as long.

-- check order_events (7; orders): the last event of an order tells the state it is in
WITH bound AS (
    SELECT pg_get_expr(relpartbound, oid) AS range FROM pg_partition_tree('events_outboxevent') JOIN pg_class ON oid = relid
), kept AS (
    SELECT CASE WHEN NOT EXISTS (SELECT FROM bound WHERE range LIKE 'FOR VALUES FROM (%')
                  OR EXISTS (SELECT FROM bound WHERE range LIKE 'FOR VALUES FROM (''0'')%') THEN '-infinity'
                ELSE coalesce((SELECT (message::json ->> 'timestamp')::timestamptz
                                 FROM events_outboxevent ORDER BY id LIMIT 1), 'infinity') END AS since
), event AS (
    SELECT DISTINCT ON (order_id) *
      FROM (SELECT id, split_part(split_part(message, '"order_id":"', 2), '"', 1)::uuid AS order_id,
                   split_part(split_part(message, '"status":"', 2), '"', 1) AS status,
                   split_part(split_part(message, '"filled_quantity":"', 2), '"', 1)::numeric AS filled,
                   split_part(split_part(message, '"remaining_quantity":"', 2), '"', 1)::numeric AS remaining
              FROM events_outboxevent
             WHERE topic = 'order.events' AND starts_with(message, '{"event_type":"ORDER_')) AS published
     ORDER BY order_id, id DESC
)
SELECT CASE WHEN event.id IS NULL THEN format('order %s: %s, and no event tells it', o.id, o.status)
       WHEN (o.status, o.filled_quantity, o.remaining_quantity) <> (event.status, event.filled, event.remaining) THEN
           format('order %s: %s, filled %s, remaining %s; event %s tells %s, %s, %s', o.id, o.status,
                  trim_scale(o.filled_quantity), trim_scale(o.remaining_quantity), event.id, event.status,
                  trim_scale(event.filled), trim_scale(event.remaining))
       END AS breach
  FROM trading_order o
  LEFT JOIN event ON event.order_id = o.id
 WHERE o.status <> 'PENDING' AND o.updated_at >= (SELECT since FROM kept);

-- check trade_events (7; trades): each trade has one event, with its price and quantity
WITH bound AS (
    SELECT pg_get_expr(relpartbound, oid) AS range FROM pg_partition_tree('events_outboxevent') JOIN pg_class ON oid = relid
), kept AS (
    SELECT CASE WHEN NOT EXISTS (SELECT FROM bound WHERE range LIKE 'FOR VALUES FROM (%')
                  OR EXISTS (SELECT FROM bound WHERE range LIKE 'FOR VALUES FROM (''0'')%') THEN '-infinity'
                ELSE coalesce((SELECT (message::json ->> 'timestamp')::timestamptz
                                 FROM events_outboxevent ORDER BY id LIMIT 1), 'infinity') END AS since
), event AS (
    SELECT trade_id, count(*) AS events, min(price) AS price, min(quantity) AS quantity
      FROM (SELECT split_part(split_part(message, '"trade_id":"', 2), '"', 1)::uuid AS trade_id,
                   split_part(split_part(message, '"price":"', 2), '"', 1)::numeric AS price,
                   split_part(split_part(message, '"quantity":"', 2), '"', 1)::numeric AS quantity
              FROM events_outboxevent
             WHERE topic = 'trade.events') AS published
     GROUP BY trade_id
)
SELECT CASE WHEN t.id IS NULL AND NOT EXISTS (SELECT FROM trading_trade WHERE id = event.trade_id) THEN
           format('trade %s: an event tells of it, and it is not there', event.trade_id)
       WHEN t.id IS NOT NULL AND (event.events, event.price, event.quantity) IS DISTINCT FROM (1, t.price, t.quantity) THEN
           format('trade %s: %s at %s; %s events tell of it, %s at %s', t.id, trim_scale(t.quantity), trim_scale(t.price),
                  coalesce(event.events, 0), coalesce(trim_scale(event.quantity)::text, 'nothing'),
                  coalesce(trim_scale(event.price)::text, 'nothing'))
       END AS breach
  FROM (SELECT id, price, quantity FROM trading_trade WHERE executed_at >= (SELECT since FROM kept)) AS t
  FULL JOIN event ON event.trade_id = t.id;
