-- What training may read: kept pairs with their masks (C, M, U). Images are joined on demand, by record_id and subset.
SELECT ingest_batch, record_id, subset, caption_id, caption, text_subset, names, mentions, may_mention
FROM {judged}
WHERE status = 'ok' AND size(reasons) = 0
