-- One row a mention: what a caption names, and how certainly.
SELECT record_id, c.caption_id, c.extractor, m.*
FROM (SELECT record_id, explode(captions) AS c FROM {components})
LATERAL VIEW explode(c.components) AS m
