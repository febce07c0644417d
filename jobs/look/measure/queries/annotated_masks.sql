-- One row an image and a label: all its annotated outlines.
SELECT record_id, a.label, collect_list(a.mask) AS truth FROM measured_images LATERAL VIEW explode(annotations) AS a
WHERE a.mask IS NOT NULL GROUP BY record_id, a.label
