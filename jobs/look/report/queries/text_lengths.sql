-- Texts of each kind by number of words, the longest counted together.
SELECT kind, least(size(words), :longest) AS length, count(*) FROM report_texts GROUP BY kind, length
