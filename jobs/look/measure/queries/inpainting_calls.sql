-- Calls of the inpainter a family, with and without reuse. A row that is not reused is one call; the call of one subset is what
-- groups of touching components share.
WITH calls AS (SELECT record_id, (1 << (bit_count(max(subset)))) - 1 AS naive, bit_count(max(subset)) AS n,
                   count_if(subset <> 0 AND NOT coalesce(reused, false)) AS made FROM measured_dual_images GROUP BY record_id)
SELECT n, count(*) AS families, round(avg(naive), 2) AS naive, round(avg(made), 2) AS made,
       round(1 - sum(made) / sum(naive), 3) AS saved
FROM calls WHERE n > 0 GROUP BY n WITH ROLLUP ORDER BY n NULLS FIRST
