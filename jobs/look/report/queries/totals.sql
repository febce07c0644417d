-- One row with the totals of the root.
WITH images AS (SELECT count(*) AS listed, count_if(status = 'ok') AS images,
                    sum(CASE WHEN status = 'ok' THEN size(captions) ELSE 0 END) AS captions FROM report_images),
     families AS (SELECT count_if(n > 0) AS families, count_if(n > 0 AND size(captions) > 0) AS named
                  FROM report_families WHERE status = 'ok'),
     duals AS (SELECT count(*) AS planned, count_if(status = 'ok') AS duals FROM report_dual_images WHERE subset <> 0),
     texts AS (SELECT sum(size(texts)) AS texts FROM report_dual_texts WHERE status = 'ok'),
     gone AS (SELECT count(residual) AS looked, count_if(residual <= :residual) AS gone FROM report_rechecks WHERE subset <> 0),
     pairs AS (SELECT count_if(subset <> 0) AS pairs, count_if(subset <> 0 AND status = 'ok') AS scored,
                   count_if(subset <> 0 AND keep) AS kept, count_if(subset = 0 AND keep) AS kept_originals,
                   avg(CASE WHEN subset <> 0 AND keep THEN clip_drop END) AS clip_drop FROM report_pairs),
     kept AS (SELECT count(*) AS kept_duals, count(DISTINCT record_id) AS kept_families
              FROM (SELECT DISTINCT record_id, subset FROM report_pairs WHERE subset <> 0 AND keep))
SELECT * FROM images CROSS JOIN families CROSS JOIN duals CROSS JOIN texts CROSS JOIN gone CROSS JOIN pairs CROSS JOIN kept
