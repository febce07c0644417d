-- One row an image and a label that a caption of it surely names: whether it is annotated, its best score, whether it was planned.
WITH annotated AS (SELECT DISTINCT record_id, a.label, true AS annotated FROM measured_images
                   LATERAL VIEW explode(annotations) AS a),
     named AS (SELECT DISTINCT c.record_id, m.label
               FROM (SELECT record_id, explode(captions) AS caption FROM measured_components
                     WHERE record_id IN (SELECT record_id FROM measured_families WHERE status = 'ok')
                       AND record_id IN (SELECT record_id FROM measured_images WHERE annotations IS NOT NULL)) c
               LATERAL VIEW explode(caption.components) AS m
               WHERE m.certain AND m.label NOT IN ('', '*')),
     seen AS (SELECT record_id, i.label, max(i.score) AS score FROM measured_instances LATERAL VIEW explode(instances) AS i
              GROUP BY record_id, i.label),
     planned AS (SELECT DISTINCT record_id, c.label, true AS planned FROM measured_families LATERAL VIEW explode(components) AS c)
SELECT record_id, label, coalesce(annotated, false) AS annotated, coalesce(score, 0) AS score, coalesce(planned, false) AS planned
FROM named LEFT JOIN annotated USING (record_id, label) LEFT JOIN seen USING (record_id, label)
LEFT JOIN planned USING (record_id, label)
