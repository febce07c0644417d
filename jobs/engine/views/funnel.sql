-- Rows of each stage's table by status, in the order of the chain.
SELECT 1 AS step, 'images' AS table, status, count(*) AS rows FROM {images} GROUP BY status
UNION ALL SELECT 2, 'components', status, count(*) FROM {components} GROUP BY status
UNION ALL SELECT 3, 'instances', status, count(*) FROM {instances} GROUP BY status
UNION ALL SELECT 4, 'families', coalesce(reason, status), count(*) FROM {families} GROUP BY coalesce(reason, status)
UNION ALL SELECT 5, 'dual_texts', status, count(*) FROM {dual_texts} GROUP BY status
UNION ALL SELECT 6, 'dual_images', status, count(*) FROM {dual_images} GROUP BY status
UNION ALL SELECT 7, 'rechecks', status, count(*) FROM {rechecks} GROUP BY status
UNION ALL SELECT 8, 'scores', status, count(*) FROM {scores} GROUP BY status
UNION ALL SELECT 9, 'kept', 'ok', count(*) FROM {judged} WHERE status = 'ok' AND size(reasons) = 0
