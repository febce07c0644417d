-- Seconds of each stage, in all and for each source image.
WITH sources AS (SELECT nullif(count(*), 0) AS images FROM measured_images),
     stages AS (SELECT stage, min(started_at) AS started, count(*) AS batches, sum(rows_in) AS rows_in,
                    sum(wall_seconds) AS wall, sum(seconds.load) AS load, sum(seconds.decode) AS decode,
                    sum(seconds.model) AS model, sum(seconds.encode) AS encode
                FROM measured_runs GROUP BY stage)
SELECT stage, batches, rows_in, round(wall, 1), round(wall / images, 3), round(decode / images, 4),
       round(model / images, 4), round(encode / images, 4), round(load, 1)
FROM stages CROSS JOIN sources ORDER BY started
