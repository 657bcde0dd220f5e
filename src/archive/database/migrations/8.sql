-- How each chunk of a batch ended and what became of its items, in the order of the ends. The batch is read back from this.
CREATE TABLE archive_chunks (
    uid     {text} NOT NULL,
    run_id  {text} NOT NULL,
    began   BIGINT NOT NULL,
    place   BIGINT NOT NULL,
    number  BIGINT NOT NULL,
    stored  BIGINT NOT NULL,
    outcome {text} NOT NULL,
    PRIMARY KEY (uid, run_id, began, place)
);

CREATE UNIQUE INDEX archive_chunks_by_number ON archive_chunks (uid, run_id, began, number);
CREATE INDEX archive_chunks_by_time ON archive_chunks (stored);
