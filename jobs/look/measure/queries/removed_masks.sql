-- One row a family component: its label, and the masks and boxes that are removed with it.
SELECT f.record_id, inline({masks}) FROM measured_families f
JOIN measured_instances i ON i.record_id = f.record_id
