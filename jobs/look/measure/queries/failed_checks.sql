-- How many dual texts fail each check.
SELECT check, count(*) AS texts, round(count(*) / (SELECT count(*) FROM measured_texts), 4) AS share
FROM measured_texts LATERAL VIEW explode(checks) AS check GROUP BY check ORDER BY texts DESC, check
