-- How many images each source gave, by split and licence.
SELECT source, split, license, count(*) AS images FROM report_images
GROUP BY source, split, license ORDER BY images DESC, source, split, license LIMIT 20
