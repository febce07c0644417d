-- How many families have n components; with n = 0 also why.
SELECT n, coalesce(reason, '') AS reason, count(*) AS families, sum(count(*)) OVER () AS total
FROM measured_families WHERE status = 'ok' GROUP BY n, reason ORDER BY n, families DESC
