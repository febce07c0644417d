-- One row a dual text.
SELECT record_id, t.* FROM (SELECT record_id, explode(texts) AS t FROM {dual_texts})
