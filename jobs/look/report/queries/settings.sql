-- The settings that each stage last ran with.
SELECT stage, max_by(settings_hash, started_at) AS settings_hash, max_by(settings, started_at) AS settings,
    max(started_at) AS latest FROM report_runs GROUP BY stage ORDER BY min(started_at)
