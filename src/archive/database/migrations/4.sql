-- The id by which this archive is told from another, wherever its data is moved to.
CREATE TABLE archive_identity (
    one BIGINT PRIMARY KEY,
    id  {text} NOT NULL
);

-- The last lines of the log of each attempt that failed, whatever became of its run.
CREATE TABLE archive_logs (
    uid     {text} NOT NULL,
    run_id  {text} NOT NULL,
    began   BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    stored  BIGINT NOT NULL,
    log     {bytes} NOT NULL,
    PRIMARY KEY (uid, run_id, began, attempt)
);

CREATE INDEX archive_logs_by_time ON archive_logs (stored);
