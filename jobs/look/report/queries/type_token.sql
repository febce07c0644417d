-- Distinct words among the first words of a sample of each kind, as many words for each kind as the shortest sample has.
WITH sampled AS ((SELECT kind, key, words FROM report_texts WHERE kind = 0 ORDER BY key, words LIMIT :sample) UNION ALL
                 (SELECT kind, key, words FROM report_texts WHERE kind = 1 ORDER BY key, words LIMIT :sample) UNION ALL
                 (SELECT kind, key, words FROM report_texts WHERE kind = 2 ORDER BY key, words LIMIT :sample)),
     counted AS (SELECT kind, key, posexplode(words) AS (position, word) FROM sampled),
     numbered AS (SELECT kind, word, row_number() OVER (PARTITION BY kind ORDER BY key, position) AS place FROM counted),
     shortest AS (SELECT min(tokens) AS tokens FROM (SELECT count(*) AS tokens FROM counted GROUP BY kind))
SELECT kind, count(*) AS tokens, count(DISTINCT word) AS types
FROM numbered CROSS JOIN shortest WHERE place <= tokens GROUP BY kind
