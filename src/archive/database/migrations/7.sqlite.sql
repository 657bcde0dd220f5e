-- The last checkpoint of a run, until its final record: that deletes it, in the same statement, whichever version of the
-- operator writes it.
CREATE TABLE archive_checkpoints (
    uid          {text} NOT NULL,
    run_id       {text} NOT NULL,
    part         {text} NOT NULL DEFAULT '',
    began        BIGINT NOT NULL,
    attempt      BIGINT NOT NULL,
    stored       BIGINT NOT NULL,
    content_type {text} NOT NULL,
    content      {bytes} NOT NULL,
    PRIMARY KEY (uid, run_id, part)
);

CREATE INDEX archive_checkpoints_by_time ON archive_checkpoints (stored);

CREATE TRIGGER archive_checkpoints_end AFTER INSERT ON archive_records WHEN new.final = 1 BEGIN
    DELETE FROM archive_checkpoints WHERE uid = new.uid AND run_id = new.run_id AND began <= new.began;
END;

CREATE TRIGGER archive_checkpoints_end_late AFTER UPDATE OF final ON archive_records WHEN new.final = 1 BEGIN
    DELETE FROM archive_checkpoints WHERE uid = new.uid AND run_id = new.run_id AND began <= new.began;
END;
