-- One row a scored pair under the current policy and the reviews, with every column to filter on; no image bytes.
SELECT s.record_id, i.source, i.source_key, i.split, i.license, s.subset, bit_count(s.subset) AS removed_count, d.removed,
       f.n, s.caption_id, s.caption, s.text_subset, s.relation, s.rewriter, s.clip_true, s.clip_original, s.clip_drop,
       s.clip_image, s.residual, s.intruder, s.survivor, s.edited_fraction, s.seam, s.smear, s.text_ok, s.text_agreement,
       s.judge, s.status, s.reasons AS reject_reasons, s.review, s.status = 'ok' AND size(s.reasons) = 0 AS keep
FROM {judged} s
JOIN {images} i ON i.record_id = s.record_id
JOIN {families} f ON f.record_id = s.record_id
JOIN {dual_images} d ON d.record_id = s.record_id AND d.subset = s.subset
