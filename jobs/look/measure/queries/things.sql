-- One row a photograph whose annotations say what phrases refer to: those, what was read, seen and planned to be removed.
SELECT i.record_id, i.annotations, coalesce(c.captions, array()) AS captions, coalesce(s.instances, array()) AS instances,
       coalesce(f.components, array()) AS components, coalesce(f.n, 0) AS n
FROM measured_images i
LEFT JOIN (SELECT record_id, transform(captions, r -> struct(r.caption_id, r.components)) AS captions FROM measured_components) c
    ON c.record_id = i.record_id
LEFT JOIN (SELECT record_id, transform(instances, r -> struct(r.label, r.box)) AS instances FROM measured_instances) s
    ON s.record_id = i.record_id
LEFT JOIN (SELECT record_id, n, transform(components, r -> struct(r.instances, r.attached)) AS components
           FROM measured_families) f ON f.record_id = i.record_id
WHERE i.status = 'ok' AND exists(i.annotations, a -> size(a.phrases) > 0)
