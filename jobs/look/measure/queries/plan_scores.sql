-- The scores that the families were planned with.
SELECT max_by(get_json_object(settings, '$.plan.enter_score'), started_at) AS enter,
       max_by(get_json_object(settings, '$.plan.remove_score'), started_at) AS remove
FROM measured_runs WHERE stage = 'plan'
