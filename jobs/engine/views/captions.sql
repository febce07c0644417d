-- One row a caption of the sources, with what the extractor read in it.
SELECT i.record_id, i.source, i.source_key, i.split, c.caption_id, c.caption,
       coalesce(p.status, c.status) AS status, p.monotone, p.extractor, p.components
FROM (SELECT record_id, source, source_key, split, posexplode(captions) AS (position, c) FROM {images}) i
LEFT JOIN (SELECT record_id, posexplode(captions) AS (position, p) FROM {components}) k
  ON k.record_id = i.record_id AND k.position = i.position
