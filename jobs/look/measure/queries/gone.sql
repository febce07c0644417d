-- One row a dual image that the detector may have looked at again: what it saw.
SELECT record_id, bit_count(subset) AS removed, residual, intruder FROM measured_rechecks WHERE subset <> 0 AND status = 'ok'
