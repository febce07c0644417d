-- How many pairs are rejected for each reason; a pair that could not be scored counts with its status.
SELECT reason, count(*) AS pairs, round(count(*) / (SELECT count(*) FROM {augmented}), 4) AS share
FROM {augmented} LATERAL VIEW explode(CASE WHEN status = 'ok' THEN reject_reasons ELSE array(status) END) AS reason
GROUP BY reason ORDER BY pairs DESC, reason
