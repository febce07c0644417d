-- What the detector still sees in dual images, by number of removed components; the first row is all of them.
SELECT bit_count(subset) AS removed, count(*) AS duals, count(residual) AS looked,
       round(try_divide(count_if(residual < :enter), count(residual)), 3) AS below_enter,
       round(try_divide(count_if(residual < :remove), count(residual)), 3) AS below_remove,
       round(avg(residual), 3) AS mean_residual, round(try_divide(count_if(intruder >= :enter), count(intruder)), 3) AS intruders
FROM measured_rechecks WHERE subset <> 0 AND status = 'ok'
GROUP BY bit_count(subset) WITH ROLLUP ORDER BY removed NULLS FIRST
