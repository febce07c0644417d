-- Each reviewer's last verdict on each pair whose image and text are still the same, of each draw that the pair was in.
SELECT /*+ BROADCAST(r) */ r.record_id, r.subset, r.caption_id, r.reviewer, r.judged_at, r.verdict, r.reasons,
    r.stratum, r.population, r.kept, r.policy, d.edited_fraction
FROM (SELECT *, row_number() OVER (PARTITION BY reviewer, record_id, subset, caption_id, stratum, policy
          ORDER BY judged_at DESC) AS turn FROM {reviews}) r
JOIN (SELECT record_id, subset, caption_id, {text_version} AS version FROM {scores}) s
    ON s.record_id = r.record_id AND s.subset = r.subset AND s.caption_id = r.caption_id AND s.version = r.text_version
JOIN (SELECT record_id, subset, edited_fraction, {image_version} AS version FROM {dual_images}) d
    ON d.record_id = r.record_id AND d.subset = r.subset AND d.version = r.image_version
WHERE turn = 1
