-- How much of the power set survives the policy, by family size and number of removed components.
SELECT f.n, bit_count(s.subset) AS removed_count, count(*) AS pairs,
       count_if(s.status = 'ok' AND size(s.reasons) = 0) AS kept,
       round(count_if(s.status = 'ok' AND size(s.reasons) = 0) / count(*), 4) AS kept_share
FROM {judged} s
JOIN {families} f ON f.record_id = s.record_id
GROUP BY f.n, bit_count(s.subset)
