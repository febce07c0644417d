-- What each stage has taken in, and its seconds.
SELECT stage, count(*) AS batches, sum(rows_in) AS rows_in, sum(wall_seconds) AS wall, sum(seconds.load) AS load,
    sum(seconds.decode) AS decode, sum(seconds.model) AS model, sum(seconds.encode) AS encode
FROM report_runs GROUP BY stage ORDER BY min(started_at)
