-- Texts of each kind, how many of them differ, and their mean length in words.
SELECT kind, count(*), count(DISTINCT text), avg(size(words)) FROM report_texts GROUP BY kind
