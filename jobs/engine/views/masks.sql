-- One row an instance: what the segmenter found.
SELECT record_id, position, m.* FROM (SELECT record_id, posexplode(instances) AS (position, m) FROM {instances})
