-- The journal and the checkpoints. What is inside the batches is looked at in trading/verify/journal.py.

-- check journal_sequence (5; journal batches): a batch follows the one before it, from the same or a newer epoch
SELECT CASE WHEN first_sequence <> last_before + 1 OR epoch < epoch_before OR id < id_before THEN
           format('group %s: batch %s (%s to %s, epoch %s) comes after sequence %s, epoch %s', group_id, id,
                  first_sequence, last_sequence, epoch, last_before, epoch_before)
       END AS breach
  FROM (SELECT *, coalesce(lag(last_sequence) OVER before, 0) AS last_before,
               coalesce(lag(epoch) OVER before, 0) AS epoch_before, coalesce(lag(id) OVER before, 0) AS id_before
          FROM matching_journalbatch
        WINDOW before AS (PARTITION BY group_id ORDER BY first_sequence, id)) AS batch;

-- check checkpoints (5; groups): a checkpoint is at the last sequence of its group's journal, in the newest epoch
SELECT CASE WHEN coalesce(c.sequence, 0) <> coalesce(j.sequence, 0) OR coalesce(c.epoch, 0) < coalesce(j.epoch, 0) THEN
           format('group %s: checkpoint at %s, epoch %s; journal at %s, epoch %s', name, coalesce(c.sequence, 0),
                  coalesce(c.epoch, 0), coalesce(j.sequence, 0), coalesce(j.epoch, 0))
       END AS breach
  FROM matching_symbolgroup
  LEFT JOIN matching_checkpoint c ON c.group_id = name
  LEFT JOIN (SELECT group_id, max(last_sequence) AS sequence, max(epoch) AS epoch
               FROM matching_journalbatch GROUP BY group_id) AS j ON j.group_id = name;
