-- How much of the power set has a kept text, by family size and number of removed components.
WITH images AS (SELECT record_id, subset, count(*) AS pairs, count_if(keep) AS kept FROM report_pairs GROUP BY record_id, subset)
SELECT n, bit_count(d.subset) AS removed_count, count(*) AS images, count_if(kept > 0) AS kept_images,
    coalesce(sum(pairs), 0) AS pairs, coalesce(sum(kept), 0) AS kept
FROM (SELECT record_id, subset FROM report_dual_images) d JOIN (SELECT record_id, n FROM report_families) USING (record_id)
LEFT JOIN images ON images.record_id = d.record_id AND images.subset = d.subset
WHERE n > 0 GROUP BY n, bit_count(d.subset) ORDER BY n, removed_count
