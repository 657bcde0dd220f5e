-- When the run began that left a result: under a runId that is used again, attempts are counted anew.
ALTER TABLE archive_results ADD COLUMN began BIGINT NOT NULL DEFAULT 0;
