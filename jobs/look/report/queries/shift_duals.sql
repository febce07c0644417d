-- The duals whose features are compared: of each number of removed components one dual a record, drawn by a hash.
WITH batches AS (SELECT ingest_batch FROM (SELECT DISTINCT ingest_batch FROM report_families WHERE status = 'ok' AND n > 0)
                 ORDER BY xxhash64(ingest_batch, :seed), ingest_batch LIMIT :batches),
     kept AS (SELECT DISTINCT record_id, subset, true AS kept FROM report_pairs JOIN batches USING (ingest_batch)
              WHERE subset <> 0 AND keep),
     duals AS (SELECT ingest_batch, record_id, subset, bit_count(subset) AS removed_count
               FROM report_dual_images JOIN batches USING (ingest_batch) WHERE subset <> 0 AND status = 'ok'),
     ranked AS (SELECT *, row_number() OVER (PARTITION BY record_id, removed_count
                                             ORDER BY xxhash64(record_id, subset, :seed)) AS nth FROM duals),
     placed AS (SELECT *, row_number() OVER (PARTITION BY removed_count ORDER BY xxhash64(record_id, :seed), record_id) AS place
                FROM ranked WHERE nth = 1)
SELECT ingest_batch, record_id, subset, removed_count, coalesce(kept, false) AS kept
FROM placed LEFT JOIN kept USING (record_id, subset) WHERE place <= :most
