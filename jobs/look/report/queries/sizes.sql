-- How many families have n components; with n = 0 also why.
SELECT n, coalesce(reason, '') AS reason, count(*) AS families FROM report_families WHERE status = 'ok'
GROUP BY n, coalesce(reason, '') ORDER BY n, families DESC
