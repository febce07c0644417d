-- One row a text: its kind (0 original caption, 1 dual text, 2 kept dual text), a key to draw by, and its words.
-- Only captions that have a dual text are compared: a caption that names nothing has no dual text to set against it.
WITH duals AS (SELECT record_id, t.caption_id, t.subset, t.caption FROM report_dual_texts LATERAL VIEW explode(texts) AS t
               WHERE t.status = 'ok'),
     kept AS (SELECT DISTINCT record_id, caption_id, text_subset AS subset, caption FROM report_pairs
              WHERE keep AND text_subset <> 0),
     named AS (SELECT DISTINCT record_id, caption_id FROM duals),
     originals AS (SELECT record_id, c.caption_id, 0 AS subset, c.caption FROM report_images LATERAL VIEW explode(captions) AS c
                   WHERE c.status = 'ok'),
     tagged AS (SELECT 0 AS kind, originals.* FROM originals JOIN named USING (record_id, caption_id)
                UNION ALL SELECT 1, * FROM duals UNION ALL SELECT 2, * FROM kept)
SELECT kind, xxhash64(record_id, caption_id, subset) AS key, lower(caption) AS text,
    regexp_extract_all(lower(caption), "[\\p{{L}}\\p{{N}}]+(?:['’-][\\p{{L}}\\p{{N}}]+)*", 0) AS words
FROM tagged WHERE caption IS NOT NULL
