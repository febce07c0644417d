-- How many pairs of dual images are rejected for each reason; a pair that could not be scored counts with its status.
SELECT reason, count(*) AS pairs FROM report_pairs
LATERAL VIEW explode(CASE WHEN status = 'ok' THEN reasons ELSE array(status) END) AS reason
WHERE subset <> 0 GROUP BY reason ORDER BY pairs DESC, reason
